# What points in time a virtual machine has: checkpoints with their disks, reference points, and the host-only notes that say
# which of them are rehost's. Changes nothing.
param([Parameter(Mandatory = $true)][string]$Id)

$ErrorActionPreference = 'Stop'
$namespace = 'root\virtualization\v2'

$machine = Get-VM -Id $Id
$checkpoints = @()
foreach ($each in @(Get-VMSnapshot -VM $machine)) {
    $disks = @(Get-VMHardDiskDrive -VMSnapshot $each | ForEach-Object {
        @{
            controllerType = [string]$_.ControllerType
            controllerNumber = $_.ControllerNumber
            controllerLocation = $_.ControllerLocation
            path = [string]$_.Path
        }
    })
    $checkpoints += @{
        id = [string]$each.Id
        name = $each.Name
        type = [string]$each.SnapshotType
        created = $each.CreationTime.ToUniversalTime().ToString('o')
        disks = $disks
    }
}

# Where the machine's disks are attached, and the ids that WMI has for them: reference points name those.
$disks = @(Get-VMHardDiskDrive -VM $machine | ForEach-Object {
    @{
        controllerType = [string]$_.ControllerType
        controllerNumber = $_.ControllerNumber
        controllerLocation = $_.ControllerLocation
        path = [string]$_.Path
    }
})
$drives = @(Get-CimInstance -Namespace $namespace -ClassName Msvm_StorageAllocationSettingData -Filter ("InstanceID LIKE 'Microsoft:{0}%'" -f $Id) | ForEach-Object {
    @{ id = $_.InstanceID; path = [string]@($_.HostResource)[0] }
})

# Windows Server 2012 R2 has no such class.
$references = @()
try {
    $system = Get-CimInstance -Namespace $namespace -ClassName Msvm_ComputerSystem -Filter ("Name='{0}'" -f $Id)
    $references = @(Get-CimAssociatedInstance -InputObject $system -ResultClassName Msvm_VirtualSystemReferencePoint | ForEach-Object {
        @{ id = $_.InstanceID; disks = @($_.VirtualDiskIdentifiers); tracking = @($_.ResilientChangeTrackingIdentifiers) }
    })
} catch {
    $references = @()
}

$settings = Get-CimInstance -Namespace $namespace -ClassName Msvm_KvpExchangeComponentSettingData -Filter ("InstanceID LIKE 'Microsoft:{0}%'" -f $Id)
$notes = @()
if ($settings) {
    $notes = @($settings.HostOnlyItems)
}

ConvertTo-Json -InputObject @{
    state = [string]$machine.State
    status = @($machine.OperationalStatus | ForEach-Object { [string]$_ })
    disks = @($disks)
    drives = @($drives)
    checkpoints = @($checkpoints)
    references = @($references)
    notes = @($notes)
} -Depth 5 -Compress
