# Where a virtual disk differs from what it was at a Resilient Change Tracking id. `processed` says how far the answer goes,
# which may be less than asked. Changes nothing.
param(
    [Parameter(Mandatory = $true)][string]$Path,
    [Parameter(Mandatory = $true)][string]$Since,
    [Parameter(Mandatory = $true)][uint64]$Offset,
    [Parameter(Mandatory = $true)][uint64]$Length
)

$ErrorActionPreference = 'Stop'
$namespace = 'root\virtualization\v2'

$service = Get-CimInstance -Namespace $namespace -ClassName Msvm_ImageManagementService
$result = Invoke-CimMethod -InputObject $service -MethodName GetVirtualDiskChanges -Arguments @{
    Path = $Path
    LimitId = $Since
    TargetSnapshotId = ''
    ByteOffset = $Offset
    ByteLength = $Length
}
$failed = ''
$code = [int64]$result.ReturnValue
if ($result.ReturnValue -eq 4096) {
    $job = Get-CimInstance -InputObject $result.Job
    while ($job.JobState -lt 7) {
        Start-Sleep -Milliseconds 100
        $job = Get-CimInstance -InputObject $result.Job
    }
    $code = 0
    if ($job.JobState -ne 7) {
        $failed = [string]$job.ErrorDescription
        $code = [int64]$job.ErrorCode
        if (-not $failed) {
            $failed = 'its job ended without saying why'
        }
    }
} elseif ($result.ReturnValue -ne 0) {
    $failed = 'GetVirtualDiskChanges'
}

ConvertTo-Json -InputObject @{
    processed = $result.ProcessedByteLength
    offsets = @($result.ChangedByteOffsets)
    lengths = @($result.ChangedByteLengths)
    failed = $failed
    code = $code
} -Depth 3 -Compress
