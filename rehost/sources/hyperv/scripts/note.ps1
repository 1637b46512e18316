# Say in a host-only note of rehost's on which earlier run a run builds.
param(
    [Parameter(Mandatory = $true)][string]$Id,
    [Parameter(Mandatory = $true)][string]$Note,
    [Parameter(Mandatory = $true)][string]$Data
)

$ErrorActionPreference = 'Stop'
$namespace = 'root\virtualization\v2'

$machine = Get-CimInstance -Namespace $namespace -ClassName Msvm_ComputerSystem -Filter ("Name='{0}'" -f $Id)
$class = Get-CimClass -Namespace $namespace -ClassName Msvm_KvpExchangeDataItem
$item = New-CimInstance -CimClass $class -ClientOnly -Property @{ Name = $Note; Data = $Data; Source = [uint16]4 }
$serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()
$text = [System.Text.Encoding]::Unicode.GetString($serializer.Serialize($item, [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None))
$management = Get-CimInstance -Namespace $namespace -ClassName Msvm_VirtualSystemManagementService
$result = Invoke-CimMethod -InputObject $management -MethodName ModifyKvpItems -Arguments @{ TargetSystem = $machine; DataItems = @($text) }
if ($result.ReturnValue -eq 4096) {
    $job = Get-CimInstance -InputObject $result.Job
    while ($job.JobState -lt 7) {
        Start-Sleep -Milliseconds 100
        $job = Get-CimInstance -InputObject $result.Job
    }
    if ($job.JobState -ne 7) {
        throw ('ModifyKvpItems: job {0}: {1}' -f $job.ErrorCode, $job.ErrorDescription)
    }
} elseif ($result.ReturnValue -ne 0) {
    throw ('ModifyKvpItems: value {0}' -f $result.ReturnValue)
}
ConvertTo-Json -InputObject @{ done = $true } -Compress
