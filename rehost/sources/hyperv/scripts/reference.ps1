# Begin to track changes: a reference point of a virtual machine's disks (Resilient Change Tracking), with a host-only note
# that says whose it is. Answers with the reference point.
param(
    [Parameter(Mandatory = $true)][string]$Id,
    [Parameter(Mandatory = $true)][string]$Note
)

$ErrorActionPreference = 'Stop'
$namespace = 'root\virtualization\v2'

$machine = Get-CimInstance -Namespace $namespace -ClassName Msvm_ComputerSystem -Filter ("Name='{0}'" -f $Id)
$service = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemReferencePointService
$serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()

$class = Get-CimClass -Namespace $namespace -ClassName Msvm_VirtualSystemReferencePointSettingData
$settings = New-CimInstance -CimClass $class -ClientOnly -Property @{ ConsistencyLevel = [byte]2 }
$text = [System.Text.Encoding]::Unicode.GetString($serializer.Serialize($settings, [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None))

# 1: based on Resilient Change Tracking.
$result = Invoke-CimMethod -InputObject $service -MethodName CreateReferencePoint -Arguments @{
    AffectedSystem = $machine
    ReferencePointSettings = $text
    ReferencePointType = [uint16]1
}
$point = $result.ResultingReferencePoint
if ($result.ReturnValue -eq 4096) {
    $job = Get-CimInstance -InputObject $result.Job
    while ($job.JobState -lt 7) {
        Start-Sleep -Milliseconds 250
        $job = Get-CimInstance -InputObject $result.Job
    }
    if ($job.JobState -ne 7) {
        throw ('CreateReferencePoint: job {0}: {1}' -f $job.ErrorCode, $job.ErrorDescription)
    }
    $point = Get-CimAssociatedInstance -InputObject $job -ResultClassName Msvm_VirtualSystemReferencePoint
} elseif ($result.ReturnValue -ne 0) {
    throw ('CreateReferencePoint: value {0}' -f $result.ReturnValue)
}
$point = Get-CimInstance -InputObject $point

# The note has the id of the reference point; without it nobody would know whose it is.
try {
    $class = Get-CimClass -Namespace $namespace -ClassName Msvm_KvpExchangeDataItem
    $item = New-CimInstance -CimClass $class -ClientOnly -Property @{ Name = $Note; Data = $point.InstanceID; Source = [uint16]4 }
    $text = [System.Text.Encoding]::Unicode.GetString($serializer.Serialize($item, [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None))
    $management = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemManagementService
    $result = Invoke-CimMethod -InputObject $management -MethodName AddKvpItems -Arguments @{ TargetSystem = $machine; DataItems = @($text) }
    if ($result.ReturnValue -eq 4096) {
        $job = Get-CimInstance -InputObject $result.Job
        while ($job.JobState -lt 7) {
            Start-Sleep -Milliseconds 100
            $job = Get-CimInstance -InputObject $result.Job
        }
        if ($job.JobState -ne 7) {
            throw ('AddKvpItems: job {0}: {1}' -f $job.ErrorCode, $job.ErrorDescription)
        }
    } elseif ($result.ReturnValue -ne 0) {
        throw ('AddKvpItems: value {0}' -f $result.ReturnValue)
    }
} catch {
    Invoke-CimMethod -InputObject $service -MethodName DestroyReferencePoint -Arguments @{ AffectedReferencePoint = $point } | Out-Null
    throw
}

ConvertTo-Json -InputObject @{ id = $point.InstanceID } -Compress
