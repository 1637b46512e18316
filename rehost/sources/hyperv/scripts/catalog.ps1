# The virtual machines of System Center Virtual Machine Manager, each with the Hyper-V host that it is on. Changes nothing.
param()

$ErrorActionPreference = 'Stop'

Import-Module -Name VirtualMachineManager
$server = Get-SCVMMServer -ComputerName localhost
$machines = @(Get-SCVirtualMachine -VMMServer $server | ForEach-Object {
    @{ id = [string]$_.VMId; name = $_.Name; host = [string]$_.HostName; platform = [string]$_.VirtualizationPlatform }
})
ConvertTo-Json -InputObject @{ machines = @($machines) } -Depth 3 -Compress
