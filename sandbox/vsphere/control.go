package main

import (
	"encoding/json"
	"log"
	"maps"
	"net"
	"net/http"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// serveControl opens the page on which tests say what is to go wrong; it returns its address.
func serveControl(c *center, g *gate) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /machines", func(w http.ResponseWriter, r *http.Request) {
		var order machineOrder
		if read(w, r, &order) {
			made, err := c.add(order)
			answer(w, made, err)
		}
	})
	mux.HandleFunc("POST /changes", func(w http.ResponseWriter, r *http.Request) {
		var order change
		if read(w, r, &order) {
			answer(w, struct{}{}, c.apply(order))
		}
	})
	mux.HandleFunc("POST /guests", func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			VM  string `json:"vm"`
			PID int    `json:"pid"`
		}
		if read(w, r, &order) {
			c.mu.Lock()
			c.guests[types.ManagedObjectReference{Type: "VirtualMachine", Value: order.VM}] = order.PID
			c.mu.Unlock()
			answer(w, struct{}{}, nil)
		}
	})
	mux.HandleFunc("POST /task-faults", func(w http.ResponseWriter, r *http.Request) {
		fault := taskFault{Count: 1}
		if read(w, r, &fault) {
			c.mu.Lock()
			c.faults = append(c.faults, &fault)
			c.mu.Unlock()
			answer(w, struct{}{}, nil)
		}
	})
	mux.HandleFunc("POST /call-faults", func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Method string `json:"method"`
			Fault  string `json:"fault"`
			Reason string `json:"reason"`
			Skip   int    `json:"skip"`
			Count  int    `json:"count"`
		}
		if read(w, r, &order) {
			fault := taskFault{Fault: order.Fault, Reason: order.Reason}
			c.model.Service.AddFaultRule(&simulator.FaultInjectionRule{
				MethodName: order.Method, ObjectType: "*", ObjectName: "*", Probability: 1, Enabled: true,
				FaultType: simulator.FaultTypeCustom, Fault: fault.made(), Message: order.Reason,
				SkipCount: order.Skip, MaxCount: max(1, order.Count),
			})
			answer(w, struct{}{}, nil)
		}
	})
	mux.HandleFunc("POST /http-faults", func(w http.ResponseWriter, r *http.Request) {
		fault := httpFault{Count: 1}
		if read(w, r, &fault) {
			g.mu.Lock()
			g.faults = append(g.faults, &fault)
			g.mu.Unlock()
			answer(w, struct{}{}, nil)
		}
	})
	mux.HandleFunc("POST /settings", func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			PageAreas  int      `json:"pageAreas"`
			Denied     []string `json:"denied"`
			LeaveDisks *bool    `json:"leaveDisks"`
			Expire     bool     `json:"expire"`
		}
		if !read(w, r, &order) {
			return
		}
		c.mu.Lock()
		if order.PageAreas > 0 {
			c.pageAreas = order.PageAreas
		}
		if order.Denied != nil {
			clear(c.denied)
			for _, id := range order.Denied {
				c.denied[id] = true
			}
		}
		if order.LeaveDisks != nil {
			c.leaveDisks = *order.LeaveDisks
		}
		c.mu.Unlock()
		if order.Expire {
			g.expire()
		}
		answer(w, struct{}{}, nil)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		c.model.Service.ClearFaultRules()
		c.mu.Lock()
		c.faults = nil
		c.mu.Unlock()
		g.mu.Lock()
		g.faults = nil
		g.mu.Unlock()
		answer(w, struct{}{}, nil)
	})
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		calls, frozen := maps.Clone(c.calls), len(c.sets)
		paths := map[string]map[string]string{}
		for _, set := range c.sets {
			paths[set.snapshot.Value] = map[string]string{}
			for _, disk := range set.disks {
				paths[set.snapshot.Value][disk.flat] = disk.path
			}
		}
		c.mu.Unlock()
		snapshots := map[string][]string{}
		for _, entity := range c.model.Map().All("VirtualMachine") {
			vm := entity.(*simulator.VirtualMachine)
			if vm.Snapshot != nil {
				snapshots[vm.Self.Value] = names(vm.Snapshot.RootSnapshotList)
			}
		}
		g.mu.Lock()
		reply := map[string]any{
			"calls": calls, "frozen": frozen, "snapshots": snapshots, "sentBytes": g.read, "requests": g.requests,
			"folderLogins": g.logins, "frozenFiles": paths,
		}
		g.mu.Unlock()
		answer(w, reply, nil)
	})
	go func() {
		if err := http.Serve(listener, mux); err != nil {
			log.Print(err)
		}
	}()
	return "http://" + listener.Addr().String(), nil
}

func names(tree []types.VirtualMachineSnapshotTree) []string {
	var found []string
	for _, each := range tree {
		found = append(append(found, each.Name), names(each.ChildSnapshotList)...)
	}
	return found
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func answer(w http.ResponseWriter, reply any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}
