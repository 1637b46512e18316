# The node of this host's cluster that runs a virtual machine now; empty where the cluster does not know it. Changes nothing.
param([Parameter(Mandatory = $true)][string]$Id)

$ErrorActionPreference = 'Stop'

$group = Get-ClusterGroup -VMId $Id -ErrorAction SilentlyContinue
$node = ''
if ($group) {
    $node = [string]$group.OwnerNode.Name
}
ConvertTo-Json -InputObject @{ node = $node } -Compress
