# Remove a checkpoint that rehost made, by its id and its name; one that is gone is fine. Its disks are merged after the answer.
param(
    [Parameter(Mandatory = $true)][string]$Id,
    [Parameter(Mandatory = $true)][string]$Checkpoint,
    [Parameter(Mandatory = $true)][string]$Name
)

$ErrorActionPreference = 'Stop'

$found = @(Get-VMSnapshot -VM (Get-VM -Id $Id) | Where-Object { [string]$_.Id -eq $Checkpoint -and $_.Name -eq $Name })
foreach ($each in $found) {
    Remove-VMSnapshot -VMSnapshot $each -Confirm:$false
}
ConvertTo-Json -InputObject @{ removed = $found.Count } -Compress
