package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"reflect"
	"syscall"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// diskOrder asks for a disk: over an existing raw file (which becomes the flat file itself where it can be linked), or empty.
type diskOrder struct {
	File string `json:"file"`
	Size int64  `json:"size"` // bytes; the file's own size where 0
	Mode string `json:"mode"` // persistent where empty
	RDM  bool   `json:"rdm"`
}

type machineOrder struct {
	Name      string      `json:"name"`
	Folder    string      `json:"folder"`
	Guest     string      `json:"guest"`
	Firmware  string      `json:"firmware"`
	Disks     []diskOrder `json:"disks"`
	CBT       bool        `json:"cbt"`
	Tools     bool        `json:"tools"`
	Off       bool        `json:"off"`
	SharedBus bool        `json:"sharedBus"`
	Encrypted bool        `json:"encrypted"`
	Devices   []string    `json:"devices"` // usb, pci, tpm
}

type machineMade struct {
	Moref string   `json:"moref"`
	UUID  string   `json:"uuid"`
	Flats []string `json:"flats"`
}

func (c *center) client() (*vim25.Client, error) {
	return vim25.NewClient(context.Background(), c.model.Service)
}

func (c *center) finder() (*find.Finder, *object.Datacenter, error) {
	client, err := c.client()
	if err != nil {
		return nil, nil, err
	}
	finder := find.NewFinder(client, false)
	dc, err := finder.DefaultDatacenter(context.Background())
	if err != nil {
		return nil, nil, err
	}
	return finder.SetDatacenter(dc), dc, nil
}

// done waits for a task: `done(vm.PowerOn(ctx))`.
func done(task *object.Task, err error) (*types.TaskInfo, error) {
	if err != nil {
		return nil, err
	}
	return task.WaitForResult(context.Background(), nil)
}

func (c *center) add(order machineOrder) (*machineMade, error) {
	ctx := context.Background()
	finder, dc, err := c.finder()
	if err != nil {
		return nil, err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return nil, err
	}
	folder := folders.VmFolder
	if order.Folder != "" {
		if folder, err = finder.Folder(ctx, path.Join(folders.VmFolder.InventoryPath, order.Folder)); err != nil {
			if folder, err = folders.VmFolder.CreateFolder(ctx, order.Folder); err != nil {
				return nil, err
			}
		}
	}
	pool, err := finder.ResourcePoolOrDefault(ctx, "*/Resources")
	if err != nil {
		return nil, err
	}
	hosts, err := finder.HostSystemList(ctx, "*/*")
	if err != nil {
		return nil, err
	}
	spec, err := configuration(order)
	if err != nil {
		return nil, err
	}
	info, err := done(folder.CreateVM(ctx, *spec, pool, hosts[0]))
	if err != nil {
		return nil, err
	}
	ref := info.Result.(types.ManagedObjectReference)
	vm := c.model.Map().Get(ref).(*simulator.VirtualMachine)
	made := &machineMade{Moref: ref.Value, UUID: vm.Config.Uuid}
	if made.Flats, err = c.fill(vm, order.Disks); err != nil {
		return nil, err
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	if !order.Off {
		if _, err := done(object.NewVirtualMachine(client, ref).PowerOn(ctx)); err != nil {
			return nil, err
		}
	}
	running := types.VirtualMachineToolsRunningStatusGuestToolsNotRunning
	if order.Tools {
		running = types.VirtualMachineToolsRunningStatusGuestToolsRunning
	}
	changes := []types.PropertyChange{{Name: "guest.toolsRunningStatus", Val: string(running)}}
	if order.Encrypted {
		changes = append(changes, types.PropertyChange{Name: "config.keyId", Val: &types.CryptoKeyId{KeyId: "key"}})
	}
	c.update(vm, changes)
	return made, nil
}

func configuration(order machineOrder) (*types.VirtualMachineConfigSpec, error) {
	guest := order.Guest
	if guest == "" {
		guest = string(types.VirtualMachineGuestOsIdentifierDebian12_64Guest)
	}
	spec := &types.VirtualMachineConfigSpec{
		Name:                  order.Name,
		GuestId:               guest,
		Firmware:              order.Firmware,
		NumCPUs:               2,
		MemoryMB:              2048,
		ChangeTrackingEnabled: types.NewBool(order.CBT),
		Files:                 &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
	}
	var devices object.VirtualDeviceList
	scsi, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return nil, err
	}
	if order.SharedBus {
		scsi.(types.BaseVirtualSCSIController).GetVirtualSCSIController().SharedBus = types.VirtualSCSISharingPhysicalSharing
	}
	devices = append(devices, scsi)
	for i, each := range order.Disks {
		size := each.Size
		if size == 0 {
			stat, err := os.Stat(each.File)
			if err != nil {
				return nil, err
			}
			size = stat.Size()
		}
		name := fmt.Sprintf("[LocalDS_0] %s/disk%d.vmdk", order.Name, i)
		disk := devices.CreateDisk(scsi.(types.BaseVirtualController), types.ManagedObjectReference{}, name)
		disk.CapacityInBytes, disk.CapacityInKB = size, size/1024
		backing := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if each.Mode != "" {
			backing.DiskMode = each.Mode
		}
		if each.RDM {
			disk.Backing = &types.VirtualDiskRawDiskMappingVer1BackingInfo{
				VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: name},
				CompatibilityMode:            string(types.VirtualDiskCompatibilityModePhysicalMode),
				DiskMode:                     string(types.VirtualDiskModeIndependent_persistent),
			}
		}
		devices = append(devices, disk)
	}
	nic, err := devices.CreateEthernetCard("vmxnet3", &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "VM Network"},
	})
	if err != nil {
		return nil, err
	}
	devices = append(devices, nic)
	for _, kind := range order.Devices {
		device := map[string]types.BaseVirtualDevice{
			"usb": &types.VirtualUSB{},
			"pci": &types.VirtualPCIPassthrough{},
			"tpm": &types.VirtualTPM{},
		}[kind]
		if device == nil {
			return nil, fmt.Errorf("no device %q", kind)
		}
		device.GetVirtualDevice().Key = devices.NewKey()
		devices = append(devices, device)
	}
	spec.DeviceChange, err = devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
	if err != nil {
		return nil, err
	}
	for _, change := range spec.DeviceChange {
		device := change.GetVirtualDeviceConfigSpec()
		if _, ok := device.Device.(*types.VirtualDisk); ok {
			device.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
		}
	}
	return spec, nil
}

// fill gives a machine's flat files their bytes.
func (c *center) fill(vm *simulator.VirtualMachine, orders []diskOrder) ([]string, error) {
	var flats []string
	for _, device := range vm.Config.Hardware.Device {
		disk, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		backing, ok := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo)
		if !ok {
			continue
		}
		flat := flatFile(c.model.Map(), backing.GetVirtualDeviceFileBackingInfo().FileName)
		order := orders[len(flats)]
		flats = append(flats, flat)
		if order.File != "" {
			if err := os.Remove(flat); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			if err := os.Link(order.File, flat); err != nil {
				if err := copyFile(order.File, flat); err != nil {
					return nil, err
				}
			}
			continue
		}
		file, err := os.OpenFile(flat, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = errors.Join(file.Truncate(disk.CapacityInBytes), file.Close())
		// A disk beyond what this file system holds is for looking at alone.
		if err != nil && !errors.Is(err, syscall.EFBIG) {
			return nil, err
		}
	}
	return flats, nil
}

// change is what an administrator does to a machine: rename, destroy, move, power, grow, add a disk.
type change struct {
	VM     string `json:"vm"` // its moref
	Action string `json:"action"`
	Name   string `json:"name"`
	Disk   int    `json:"disk"`
	Size   int64  `json:"size"`
	Value  string `json:"value"`
}

func (c *center) apply(order change) error {
	ctx := context.Background()
	client, err := c.client()
	if err != nil {
		return err
	}
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: order.VM}
	vm, ok := c.model.Map().Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return fmt.Errorf("no machine %q", order.VM)
	}
	machine := object.NewVirtualMachine(client, ref)
	switch order.Action {
	case "rename":
		_, err = done(machine.Rename(ctx, order.Name))
	case "power-off":
		_, err = done(machine.PowerOff(ctx))
	case "power-on":
		_, err = done(machine.PowerOn(ctx))
	case "destroy":
		// The simulator would leave its snapshots behind.
		if _, err = done(machine.RemoveAllSnapshot(ctx, types.NewBool(true))); err == nil {
			_, err = done(machine.Destroy(ctx))
		}
	case "migrate":
		var hosts []*object.HostSystem
		finder, _, ferr := c.finder()
		if ferr != nil {
			return ferr
		}
		if hosts, err = finder.HostSystemList(ctx, "*/*"); err != nil {
			return err
		}
		for _, host := range hosts {
			if to := host.Reference(); to != *vm.Runtime.Host {
				_, err = done(machine.Relocate(ctx, types.VirtualMachineRelocateSpec{Host: &to}, types.VirtualMachineMovePriorityDefaultPriority))
				break
			}
		}
	case "snapshot":
		_, err = done(machine.CreateSnapshot(ctx, order.Name, "", false, false))
	case "remove-snapshots":
		_, err = done(machine.RemoveAllSnapshot(ctx, types.NewBool(true)))
	case "grow":
		err = c.grow(vm, order)
	case "add-disk":
		err = c.addDisk(machine, vm, order)
	case "cbt-reset":
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, device := range vm.Config.Hardware.Device {
			if disk, ok := device.(*types.VirtualDisk); ok {
				if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
					delete(c.trackers, flatFile(c.model.Map(), backing.FileName))
				}
			}
		}
	case "set":
		c.update(vm, []types.PropertyChange{{Name: order.Name, Val: valueOf(order.Value)}})
	default:
		err = fmt.Errorf("no action %q", order.Action)
	}
	return err
}

func valueOf(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	return text
}

func (c *center) update(vm *simulator.VirtualMachine, changes []types.PropertyChange) {
	c.model.Map().AtomicUpdate(c.model.Service.Context, vm, changes)
}

// grow changes the disk in place: the simulator's own way would empty its file.
func (c *center) grow(vm *simulator.VirtualMachine, order change) error {
	number := 0
	for _, device := range vm.Config.Hardware.Device {
		disk, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		if number == order.Disk {
			flat := flatFile(c.model.Map(), disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).FileName)
			if err := os.Truncate(flat, order.Size); err != nil {
				return err
			}
			c.model.Map().WithLock(c.model.Service.Context, vm, func() {
				disk.CapacityInBytes, disk.CapacityInKB = order.Size, order.Size/1024
			})
			return nil
		}
		number++
	}
	return fmt.Errorf("no disk %d", order.Disk)
}

func (c *center) addDisk(machine *object.VirtualMachine, vm *simulator.VirtualMachine, order change) error {
	devices := object.VirtualDeviceList(vm.Config.Hardware.Device)
	controller, err := devices.FindDiskController("")
	if err != nil {
		return err
	}
	name := fmt.Sprintf("[LocalDS_0] %s/added%d.vmdk", vm.Name, len(devices))
	disk := devices.CreateDisk(controller, types.ManagedObjectReference{}, name)
	disk.CapacityInBytes, disk.CapacityInKB = order.Size, order.Size/1024
	if err := machine.AddDevice(context.Background(), disk); err != nil {
		return err
	}
	return os.Truncate(flatFile(c.model.Map(), name), order.Size)
}

func (c *center) snapshot(vm types.ManagedObjectReference, req *types.CreateSnapshot_Task) (types.AnyType, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	machine := object.NewVirtualMachine(client, vm)
	info, err := done(machine.CreateSnapshot(context.Background(), req.Name, req.Description, req.Memory, req.Quiesce))
	if err != nil {
		return nil, err
	}
	return info.Result, nil
}

// made is the fault of that name of the vSphere API.
func (f *taskFault) made() types.BaseMethodFault {
	if kind, ok := types.TypeFunc()(f.Fault); ok {
		if fault, ok := reflect.New(kind).Interface().(types.BaseMethodFault); ok {
			fault.GetMethodFault().FaultMessage = []types.LocalizableMessage{{Key: "sandbox", Message: f.Reason}}
			return fault
		}
	}
	return &types.SystemError{Reason: f.Reason}
}
