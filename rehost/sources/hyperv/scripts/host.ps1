# What this host is: its name, the version of its Windows, and the failover cluster it belongs to. Changes nothing.
param()

$ErrorActionPreference = 'Stop'

$system = Get-CimInstance -ClassName Win32_OperatingSystem
$answer = @{
    name = $system.CSName
    caption = $system.Caption
    build = [int]$system.BuildNumber
    cluster = ''
    nodes = @()
}

# The module is there on members of a cluster, and where its tools are installed.
$module = Get-Module -ListAvailable -Name FailoverClusters
if ($module) {
    try {
        $answer.cluster = (Get-Cluster).Name
        $answer.nodes = @(Get-ClusterNode | ForEach-Object { @{ name = $_.Name; state = [string]$_.State } })
    } catch {
        # Not a member, or its cluster service is stopped: a host of its own.
        $answer.cluster = ''
    }
}

ConvertTo-Json -InputObject $answer -Depth 4 -Compress
