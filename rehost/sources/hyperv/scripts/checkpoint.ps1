# Take a checkpoint of a virtual machine and name it. Level: 1 application-consistent, 2 crash-consistent (a recovery
# checkpoint, which Windows Server 2016 and newer take), 0 a standard checkpoint (Windows Server 2012 R2).
# `failed` in the answer says that none was taken, and why; nothing is left then.
param(
    [Parameter(Mandatory = $true)][string]$Id,
    [Parameter(Mandatory = $true)][string]$Name,
    [Parameter(Mandatory = $true)][int]$Level
)

$ErrorActionPreference = 'Stop'
$namespace = 'root\virtualization\v2'

$machine = Get-CimInstance -Namespace $namespace -ClassName Msvm_ComputerSystem -Filter ("Name='{0}'" -f $Id)
$service = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemSnapshotService

# 2: a full checkpoint. 32768: a recovery checkpoint, which backups take.
$text = ''
$type = [uint16]2
if ($Level -gt 0) {
    $class = Get-CimClass -Namespace $namespace -ClassName Msvm_VirtualSystemSnapshotSettingData
    $settings = New-CimInstance -CimClass $class -ClientOnly -Property @{ ConsistencyLevel = [byte]$Level; IgnoreNonSnapshottableDisks = $false }
    $serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()
    $text = [System.Text.Encoding]::Unicode.GetString($serializer.Serialize($settings, [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None))
    $type = [uint16]32768
}

$before = @(Get-VMSnapshot -VM (Get-VM -Id $Id) | ForEach-Object { [string]$_.Id })
$result = Invoke-CimMethod -InputObject $service -MethodName CreateSnapshot -Arguments @{
    AffectedSystem = $machine
    SnapshotSettings = $text
    SnapshotType = $type
}
$failed = ''
$code = 0
$job = $null
if ($result.ReturnValue -eq 4096) {
    $job = Get-CimInstance -InputObject $result.Job
    while ($job.JobState -lt 7) {
        Start-Sleep -Milliseconds 250
        $job = Get-CimInstance -InputObject $result.Job
    }
    if ($job.JobState -ne 7) {
        $failed = [string]$job.ErrorDescription
        $code = [int64]$job.ErrorCode
        if (-not $failed) {
            $failed = 'its job ended without saying why'
        }
    }
} elseif ($result.ReturnValue -ne 0) {
    $failed = 'CreateSnapshot'
    $code = [int64]$result.ReturnValue
}

# Named at once: the name is how a later run knows whose it is. The list may show it a moment after the job has ended. The job
# says which one it made; somebody else may have taken one meanwhile.
$checkpoint = ''
if (-not $failed) {
    $own = @()
    if ($job) {
        $own = @(Get-CimAssociatedInstance -InputObject $job -ResultClassName Msvm_VirtualSystemSettingData | ForEach-Object { $_.InstanceID })
    }
    $made = @()
    $left = 120
    while ($made.Count -eq 0 -and $left -gt 0) {
        $made = @(Get-VMSnapshot -VM (Get-VM -Id $Id) | Where-Object { $before -notcontains [string]$_.Id })
        if ($own.Count -gt 0) {
            $made = @($made | Where-Object { $own -contains ('Microsoft:{0}' -f [string]$_.Id) })
        }
        if ($made.Count -eq 0) {
            Start-Sleep -Milliseconds 250
        }
        $left = $left - 1
    }
    if ($made.Count -eq 0) {
        throw 'the host took a checkpoint, and does not list it after 30 seconds'
    }
    if ($made.Count -gt 1) {
        throw 'the host has more than one new checkpoint and does not say which one this is; remove those that nobody needs'
    }
    foreach ($each in $made) {
        try {
            Rename-VMSnapshot -VMSnapshot $each -NewName $Name
        } catch {
            Remove-VMSnapshot -VMSnapshot $each -Confirm:$false
            throw
        }
        $checkpoint = [string]$each.Id
    }
}

ConvertTo-Json -InputObject @{ checkpoint = $checkpoint; failed = $failed; code = $code } -Compress
