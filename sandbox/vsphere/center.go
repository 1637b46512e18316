package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// frozenSet is what a snapshot keeps of a machine's disks.
type frozenSet struct {
	vm       types.ManagedObjectReference
	snapshot types.ManagedObjectReference
	disks    map[int32]*frozenDisk // by device key
}

type frozenDisk struct {
	flat string // the live file
	path string // its copy
	size int64
	view *view // nil where changes are not tracked
}

// taskFault makes a task fail, or take its time.
type taskFault struct {
	Method string  `json:"method"`
	Fault  string  `json:"fault"`
	Reason string  `json:"reason"`
	Delay  float64 `json:"delay"` // seconds; without a fault the task succeeds after it
	Count  int     `json:"count"`
}

// center is the simulator's model with what this program adds to it.
type center struct {
	model *simulator.Model
	state string

	mu        sync.Mutex
	pending   map[types.ManagedObjectReference]*frozenSet // of a snapshot that is being taken, by machine
	sets      []*frozenSet                                // oldest first
	trackers  map[string]*tracker                         // by live file
	guests    map[types.ManagedObjectReference]int        // the process that writes to a machine's disks
	faults    []*taskFault
	denied    map[string]bool // privileges that the account lacks
	leases    map[string]*frozenSet
	calls     map[string]int
	pageAreas int
	serial    int
	// The next removal of a snapshot leaves its disks behind.
	leaveDisks bool
}

func newCenter(model *simulator.Model, state string) *center {
	c := &center{
		model:     model,
		state:     state,
		pending:   map[types.ManagedObjectReference]*frozenSet{},
		trackers:  map[string]*tracker{},
		guests:    map[types.ManagedObjectReference]int{},
		denied:    map[string]bool{},
		leases:    map[string]*frozenSet{},
		calls:     map[string]int{},
		pageAreas: 2000,
	}
	registry := model.Map()
	registry.Handler = c.handle
	registry.AddHandler(&snapshotWatch{center: c})
	return c
}

// handle puts our own object in the place of the simulator's for the methods that we add or change. Its reference is
// changed as well, or the session's registry would put the simulator's own back.
func (c *center) handle(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	c.mu.Lock()
	c.calls[method.Name]++
	c.mu.Unlock()
	found := ctx.Map.Get(method.This)
	switch method.Name {
	case "QueryChangedDiskAreas", "ConsolidateVMDisks_Task", "CreateSnapshot_Task":
		if vm, ok := found.(*simulator.VirtualMachine); ok {
			method.This.Value = "ours-" + method.This.Value
			return &machine{VirtualMachine: vm, center: c}, nil
		}
	case "ExportSnapshot", "RemoveSnapshot_Task":
		if snapshot, ok := found.(*simulator.VirtualMachineSnapshot); ok {
			method.This.Value = "ours-" + method.This.Value
			return &snapshotOf{VirtualMachineSnapshot: snapshot, center: c}, nil
		}
	case "HasPrivilegeOnEntities":
		if manager, ok := found.(*simulator.AuthorizationManager); ok {
			method.This.Value = "ours-" + method.This.Value
			return &authorization{AuthorizationManager: manager, center: c}, nil
		}
	}
	return nil, nil
}

// machine is a virtual machine with changed block tracking and snapshots that hold.
type machine struct {
	*simulator.VirtualMachine
	center *center
}

func (m *machine) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	if m.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn || m.Guest.ToolsRunningStatus !=
		string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		req.Quiesce = false // as vCenter does: without tools there is nobody to ask
	}
	fault := m.center.takeFault("CreateSnapshot_Task")
	body := &methods.CreateSnapshot_TaskBody{}
	if fault == nil {
		set, err := m.center.freeze(ctx, m.VirtualMachine)
		if err != nil {
			log.Printf("freezing %s: %s", m.Name, err)
			body.Fault_ = simulator.Fault(err.Error(), &types.SystemError{Reason: err.Error()})
			return body
		}
		m.center.put(set)
		return m.VirtualMachine.CreateSnapshotTask(ctx, req)
	}
	// Its lock is its own: the machine's properties can be read while the task takes its time.
	task := simulator.CreateTask(types.ManagedObjectReference{Type: m.Self.Type, Value: "stalled-" + m.Self.Value}, "createSnapshot",
		func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
			time.Sleep(fault.duration())
			if fault.Fault != "" {
				return nil, fault.made()
			}
			result, err := m.center.snapshot(m.Self, req)
			if err != nil {
				return nil, &types.SystemError{Reason: err.Error()}
			}
			return result, nil
		})
	body.Res = &types.CreateSnapshot_TaskResponse{Returnval: task.Run(ctx)}
	return body
}

func (m *machine) QueryChangedDiskAreas(ctx *simulator.Context, req *types.QueryChangedDiskAreas) soap.HasFault {
	body := &methods.QueryChangedDiskAreasBody{}
	refuse := func(message string, fault types.BaseMethodFault) soap.HasFault {
		body.Fault_ = simulator.Fault(message, fault)
		return body
	}
	var disk *frozenDisk
	switch {
	case req.Snapshot != nil:
		disk = m.center.frozen(*req.Snapshot, req.DeviceKey)
	case m.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff:
		disk = m.center.current(ctx, m.VirtualMachine, req.DeviceKey)
	default: // vSphere answers without a snapshot only for a machine that is off
		return refuse("A specified parameter was not correct: snapshot", &types.InvalidArgument{InvalidProperty: "snapshot"})
	}
	if disk == nil {
		return refuse("A specified parameter was not correct: deviceKey", &types.InvalidArgument{InvalidProperty: "deviceKey"})
	}
	lost := &types.FileFault{File: disk.flat}
	if disk.view == nil {
		return refuse("Error caused by file "+disk.flat, lost)
	}
	if req.StartOffset < 0 || req.StartOffset >= disk.size {
		return refuse("A specified parameter was not correct: startOffset", &types.InvalidArgument{InvalidProperty: "startOffset"})
	}
	m.center.mu.Lock()
	limit := m.center.pageAreas
	m.center.mu.Unlock()
	areas, reached, err := disk.view.changed(req.ChangeId, req.StartOffset, disk.size, limit)
	if err != nil {
		return refuse("Error caused by file "+disk.flat, lost)
	}
	info := types.DiskChangeInfo{StartOffset: req.StartOffset, Length: reached - req.StartOffset}
	for _, area := range areas {
		info.ChangedArea = append(info.ChangedArea, types.DiskChangeExtent{Start: area.start, Length: area.length})
	}
	body.Res = &types.QueryChangedDiskAreasResponse{Returnval: info}
	return body
}

func (m *machine) ConsolidateVMDisksTask(ctx *simulator.Context, _ *types.ConsolidateVMDisks_Task) soap.HasFault {
	fault := m.center.takeFault("ConsolidateVMDisks_Task")
	task := simulator.CreateTask(m.VirtualMachine, "consolidateVMDisks",
		func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
			if fault != nil {
				time.Sleep(fault.duration())
				if fault.Fault != "" {
					return nil, fault.made()
				}
			}
			ctx.Update(m.VirtualMachine, []types.PropertyChange{{Name: "runtime.consolidationNeeded", Val: false}})
			return nil, nil
		})
	return &methods.ConsolidateVMDisks_TaskBody{Res: &types.ConsolidateVMDisks_TaskResponse{Returnval: task.Run(ctx)}}
}

// snapshotOf is a snapshot whose removal can fail and whose disks can be exported.
type snapshotOf struct {
	*simulator.VirtualMachineSnapshot
	center *center
}

func (s *snapshotOf) RemoveSnapshotTask(ctx *simulator.Context, req *types.RemoveSnapshot_Task) soap.HasFault {
	if fault := s.center.takeFault("RemoveSnapshot_Task"); fault != nil {
		task := simulator.CreateTask(s.Vm, "removeSnapshot", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
			time.Sleep(fault.duration())
			return nil, fault.made()
		})
		return &methods.RemoveSnapshot_TaskBody{Res: &types.RemoveSnapshot_TaskResponse{Returnval: task.Run(ctx)}}
	}
	s.center.mu.Lock()
	leave := s.center.leaveDisks
	s.center.leaveDisks = false
	s.center.mu.Unlock()
	if leave {
		vm := ctx.Map.Get(s.Vm).(*simulator.VirtualMachine)
		ctx.WithLock(vm, func() {
			ctx.Update(vm, []types.PropertyChange{{Name: "runtime.consolidationNeeded", Val: true}})
		})
	}
	return s.VirtualMachineSnapshot.RemoveSnapshotTask(ctx, req)
}

func (s *snapshotOf) ExportSnapshot(ctx *simulator.Context, req *types.ExportSnapshot) soap.HasFault {
	res := s.VirtualMachineSnapshot.ExportSnapshot(ctx, req)
	if body, ok := res.(*methods.ExportSnapshotBody); ok && body.Res != nil {
		s.center.mu.Lock()
		defer s.center.mu.Unlock()
		for _, set := range s.center.sets {
			if set.snapshot == s.Self {
				s.center.leases[body.Res.Returnval.Value] = set
			}
		}
	}
	return res
}

// authorization lets an account lack privileges.
type authorization struct {
	*simulator.AuthorizationManager
	center *center
}

func (a *authorization) HasPrivilegeOnEntities(req *types.HasPrivilegeOnEntities) soap.HasFault {
	a.center.mu.Lock()
	defer a.center.mu.Unlock()
	var found []types.EntityPrivilege
	for _, entity := range req.Entity {
		privilege := types.EntityPrivilege{Entity: entity}
		for _, id := range req.PrivId {
			available := types.PrivilegeAvailability{PrivId: id, IsGranted: !a.center.denied[id]}
			privilege.PrivAvailability = append(privilege.PrivAvailability, available)
		}
		found = append(found, privilege)
	}
	return &methods.HasPrivilegeOnEntitiesBody{Res: &types.HasPrivilegeOnEntitiesResponse{Returnval: found}}
}

// snapshotWatch gives a new snapshot its frozen disks and change ids, and drops them with the snapshot.
type snapshotWatch struct{ center *center }

func (*snapshotWatch) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "SnapshotWatch", Value: "snapshots"}
}

func (w *snapshotWatch) PutObject(_ *simulator.Context, item mo.Reference) {
	snapshot, ok := item.(*simulator.VirtualMachineSnapshot)
	if !ok {
		return
	}
	w.center.mu.Lock()
	defer w.center.mu.Unlock()
	set := w.center.pending[snapshot.Vm]
	if set == nil {
		return
	}
	delete(w.center.pending, snapshot.Vm)
	set.snapshot = snapshot.Self
	w.center.sets = append(w.center.sets, set)
	for _, device := range snapshot.Config.Hardware.Device {
		disk, ok := device.(*types.VirtualDisk)
		if !ok || set.disks[disk.Key] == nil || set.disks[disk.Key].view == nil {
			continue
		}
		if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			backing.ChangeId = set.disks[disk.Key].view.changeID()
		}
	}
}

func (*snapshotWatch) UpdateObject(*simulator.Context, mo.Reference, []types.PropertyChange) {}

func (w *snapshotWatch) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	if ref.Type != "VirtualMachineSnapshot" {
		return
	}
	w.center.mu.Lock()
	defer w.center.mu.Unlock()
	for i, set := range w.center.sets {
		if set.snapshot == ref {
			w.center.sets = append(w.center.sets[:i], w.center.sets[i+1:]...)
			set.remove()
			return
		}
	}
}

func (s *frozenSet) remove() {
	for _, disk := range s.disks {
		if err := os.Remove(disk.path); err != nil {
			log.Printf("a frozen disk stays: %s", err)
		}
	}
}

// freeze copies a machine's disks as they are at one moment.
func (c *center) freeze(ctx *simulator.Context, vm *simulator.VirtualMachine) (*frozenSet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	resume, err := pause(c.guests[vm.Self])
	if err != nil {
		return nil, err
	}
	set := &frozenSet{vm: vm.Self, disks: map[int32]*frozenDisk{}}
	for _, device := range vm.Config.Hardware.Device {
		disk, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok || strings.HasPrefix(backing.DiskMode, "independent") {
			continue
		}
		flat := flatFile(ctx.Map, backing.FileName)
		c.serial++
		frozen := &frozenDisk{
			flat: flat,
			path: filepath.Join(c.state, fmt.Sprintf("frozen-%d.raw", c.serial)),
			size: disk.CapacityInBytes,
		}
		set.disks[disk.Key] = frozen
		if err = copyFile(flat, frozen.path); err == nil {
			err = os.Truncate(frozen.path, frozen.size)
		}
		if err != nil {
			break
		}
	}
	resume()
	if err != nil {
		set.remove()
		return nil, err
	}
	if vm.Config.ChangeTrackingEnabled != nil && *vm.Config.ChangeTrackingEnabled {
		for _, disk := range set.disks {
			if c.trackers[disk.flat] == nil {
				c.trackers[disk.flat] = newTracker()
			}
			if disk.view, err = c.trackers[disk.flat].take(disk.path); err != nil {
				set.remove()
				return nil, err
			}
		}
	}
	return set, nil
}

func (c *center) put(set *frozenSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[set.vm] = set
}

func (c *center) frozen(snapshot types.ManagedObjectReference, key int32) *frozenDisk {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, set := range c.sets {
		if set.snapshot == snapshot {
			return set.disks[key]
		}
	}
	return nil
}

// current is a disk as it is now, with what its tracker would say of it; the tracker itself stays as it is.
func (c *center) current(ctx *simulator.Context, vm *simulator.VirtualMachine, key int32) *frozenDisk {
	for _, device := range vm.Config.Hardware.Device {
		disk, ok := device.(*types.VirtualDisk)
		if !ok || disk.Key != key {
			continue
		}
		backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok {
			return nil
		}
		found := &frozenDisk{flat: flatFile(ctx.Map, backing.FileName), size: disk.CapacityInBytes}
		c.mu.Lock()
		defer c.mu.Unlock()
		if known := c.trackers[found.flat]; known != nil {
			view, err := known.copied().take(found.flat)
			if err != nil {
				log.Printf("looking at %s: %s", found.flat, err)
				return nil
			}
			found.view = view
		}
		return found
	}
	return nil
}

// behind is what a datastore has behind a flat file: the frozen copy of the oldest snapshot, since a guest with a snapshot
// writes into a delta beside it; else the live file.
func (c *center) behind(flat string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, set := range c.sets {
		for _, disk := range set.disks {
			if disk.flat == flat {
				return disk.path
			}
		}
	}
	return flat
}

func (c *center) takeFault(method string) *taskFault {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, fault := range c.faults {
		if fault.Method == method {
			fault.Count--
			if fault.Count <= 0 {
				c.faults = append(c.faults[:i], c.faults[i+1:]...)
			}
			return fault
		}
	}
	return nil
}

func (c *center) continueGuests() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pid := range c.guests {
		if resume, err := pause(pid); err == nil {
			resume()
		}
	}
}

func (f *taskFault) duration() time.Duration { return time.Duration(f.Delay * float64(time.Second)) }

// flatFile is the file of the host that holds the bytes of a disk: `[LocalDS_0] web/web.vmdk`.
func flatFile(registry *simulator.Registry, name string) string {
	var file object.DatastorePath
	file.FromString(name)
	for _, entity := range registry.All("Datastore") {
		if store := entity.(*simulator.Datastore); store.Name == file.Datastore {
			return filepath.Join(store.Summary.Url, strings.TrimSuffix(file.Path, ".vmdk")+"-flat.vmdk")
		}
	}
	return ""
}
