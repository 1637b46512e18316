# Every virtual machine of this host, or the one with an id: what it is made of, and what runs in it. Changes nothing.
param([string]$Id = '')

$ErrorActionPreference = 'Stop'

if ($Id) {
    $machines = @(Get-VM -Id $Id -ErrorAction SilentlyContinue)
} else {
    $machines = @(Get-VM)
}

$found = @()
foreach ($machine in $machines) {
    $disks = @()
    foreach ($drive in @(Get-VMHardDiskDrive -VM $machine)) {
        $disk = @{
            controllerType = [string]$drive.ControllerType
            controllerNumber = $drive.ControllerNumber
            controllerLocation = $drive.ControllerLocation
            path = [string]$drive.Path
            passThrough = $drive.DiskNumber
            shared = [bool]$drive.SupportPersistentReservations
            problem = ''
        }
        if ($null -eq $drive.DiskNumber -and $drive.Path) {
            try {
                $image = Get-VHD -Path $drive.Path
                $disk.format = [string]$image.VhdFormat
                $disk.type = [string]$image.VhdType
                $disk.size = $image.Size
                $disk.fileSize = $image.FileSize
                $disk.sectorSize = $image.LogicalSectorSize
                $disk.parent = [string]$image.ParentPath
            } catch {
                $disk.problem = [string]$_.Exception.Message
            }
        }
        $disks += $disk
    }

    $adapters = @(Get-VMNetworkAdapter -VM $machine | ForEach-Object {
        @{ name = $_.Name; mac = $_.MacAddress; network = [string]$_.SwitchName }
    })

    # Their names are translated, their ids are not.
    $services = @(Get-VMIntegrationService -VM $machine | ForEach-Object {
        @{ id = $_.Id; enabled = $_.Enabled; status = [string]$_.PrimaryOperationalStatus }
    })

    $checkpoints = @(Get-VMSnapshot -VM $machine | ForEach-Object {
        @{ id = [string]$_.Id; name = $_.Name; type = [string]$_.SnapshotType; created = $_.CreationTime.ToUniversalTime().ToString('o') }
    })

    $entry = @{
        id = [string]$machine.Id
        name = $machine.Name
        state = [string]$machine.State
        status = @($machine.OperationalStatus | ForEach-Object { [string]$_ })
        generation = $machine.Generation
        version = [string]$machine.Version
        cpus = $machine.ProcessorCount
        memory = $machine.MemoryStartup
        dynamicMemory = $machine.DynamicMemoryEnabled
        clustered = $machine.IsClustered
        replication = [string]$machine.ReplicationMode
        disks = $disks
        adapters = $adapters
        services = $services
        checkpoints = $checkpoints
        secureBoot = ''
        boot = @()
        security = @{}
        fibreChannel = 0
        devices = @()
        guest = @()
    }

    if ($machine.Generation -eq 2) {
        $firmware = Get-VMFirmware -VM $machine
        $entry.secureBoot = [string]$firmware.SecureBoot
        $entry.boot = @($firmware.BootOrder | Where-Object { [string]$_.BootType -eq 'Drive' } | ForEach-Object {
            @{ number = $_.Device.ControllerNumber; location = $_.Device.ControllerLocation; path = [string]$_.Device.Path }
        })
    }

    # What a host's Windows does not know yet is no error: 2012 R2 has no Get-VMSecurity, 2016 no GPU partitions.
    try {
        $security = Get-VMSecurity -VM $machine
        $entry.security = @{ tpm = $security.TpmEnabled; shielded = $security.Shielded }
    } catch {
        $entry.security = @{}
    }
    try {
        $entry.fibreChannel = @(Get-VMFibreChannelHba -VM $machine).Count
    } catch {
        $entry.fibreChannel = 0
    }
    try {
        $entry.devices += @(Get-VMAssignableDevice -VM $machine | ForEach-Object { 'pci' })
    } catch {
        $entry.devices += @()
    }
    try {
        $entry.devices += @(Get-VMGpuPartitionAdapter -VM $machine | ForEach-Object { 'gpu' })
    } catch {
        $entry.devices += @()
    }

    # Embedded instances of Msvm_KvpExchangeDataItem, as text: what the guest tells of itself.
    $exchange = Get-CimInstance -Namespace root\virtualization\v2 -ClassName Msvm_KvpExchangeComponent -Filter ("SystemName='{0}'" -f $machine.Id)
    if ($exchange) {
        $entry.guest = @($exchange.GuestIntrinsicExchangeItems)
    }
    $found += $entry
}

ConvertTo-Json -InputObject @{ machines = @($found) } -Depth 6 -Compress
