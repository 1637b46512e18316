# The ids and names of this host's virtual machines. Changes nothing.
param()

$ErrorActionPreference = 'Stop'

$found = @(Get-VM | ForEach-Object { @{ id = [string]$_.Id; name = $_.Name } })
ConvertTo-Json -InputObject @{ machines = @($found) } -Depth 3 -Compress
