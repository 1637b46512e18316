# Remove a reference point of rehost's, and the host-only note about it. What is gone already is fine.
param(
    [Parameter(Mandatory = $true)][string]$Id,
    [Parameter(Mandatory = $true)][string]$Note,
    [string]$Reference = ''
)

$ErrorActionPreference = 'Stop'
$namespace = 'root\virtualization\v2'

if ($Reference) {
    $service = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemReferencePointService
    $system = Get-CimInstance -Namespace $namespace -ClassName Msvm_ComputerSystem -Filter ("Name='{0}'" -f $Id)
    $points = @(Get-CimAssociatedInstance -InputObject $system -ResultClassName Msvm_VirtualSystemReferencePoint | Where-Object { $_.InstanceID -eq $Reference })
    foreach ($point in $points) {
        $result = Invoke-CimMethod -InputObject $service -MethodName DestroyReferencePoint -Arguments @{ AffectedReferencePoint = $point }
        if ($result.ReturnValue -eq 4096) {
            $job = Get-CimInstance -InputObject $result.Job
            while ($job.JobState -lt 7) {
                Start-Sleep -Milliseconds 250
                $job = Get-CimInstance -InputObject $result.Job
            }
            if ($job.JobState -ne 7) {
                throw ('DestroyReferencePoint: job {0}: {1}' -f $job.ErrorCode, $job.ErrorDescription)
            }
        } elseif ($result.ReturnValue -ne 0) {
            throw ('DestroyReferencePoint: value {0}' -f $result.ReturnValue)
        }
    }
}

$settings = Get-CimInstance -Namespace $namespace -ClassName Msvm_KvpExchangeComponentSettingData -Filter ("InstanceID LIKE 'Microsoft:{0}%'" -f $Id)
$items = @($settings.HostOnlyItems | Where-Object { $_ -like ('*<VALUE>{0}</VALUE>*' -f $Note) })
if ($items.Count -gt 0) {
    $machine = Get-CimInstance -Namespace $namespace -ClassName Msvm_ComputerSystem -Filter ("Name='{0}'" -f $Id)
    $management = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemManagementService
    $result = Invoke-CimMethod -InputObject $management -MethodName RemoveKvpItems -Arguments @{ TargetSystem = $machine; DataItems = $items }
    if ($result.ReturnValue -eq 4096) {
        $job = Get-CimInstance -InputObject $result.Job
        while ($job.JobState -lt 7) {
            Start-Sleep -Milliseconds 100
            $job = Get-CimInstance -InputObject $result.Job
        }
        if ($job.JobState -ne 7) {
            throw ('RemoveKvpItems: job {0}: {1}' -f $job.ErrorCode, $job.ErrorDescription)
        }
    } elseif ($result.ReturnValue -ne 0) {
        throw ('RemoveKvpItems: value {0}' -f $result.ReturnValue)
    }
}

ConvertTo-Json -InputObject @{ done = $true } -Compress
