// vsphere-sim is govmomi's vCenter simulator with what a backup client needs and the simulator lacks: snapshots that are
// points in time of real flat files, changed block tracking over them, authentication with sessions that expire, the
// consolidation of disks, streams of a snapshot's disks, and faults on demand.
//
// It listens on loopback alone. The vCenter speaks TLS with a certificate of a CA made at start (ca.pem in the state
// folder); the control page speaks plain HTTP on a port of its own. Both are written to the ready file.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
)

type options struct {
	state    string
	ready    string
	user     string
	machines int
	idle     time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.state, "state", "", "folder for datastores, frozen disks and the CA")
	flag.StringVar(&o.ready, "ready-file", "", "where the addresses are written to once it serves")
	flag.StringVar(&o.user, "user", "administrator@vsphere.local", "the one account; its password is $VSPHERE_SIM_PASSWORD")
	flag.IntVar(&o.machines, "machines", 0, "virtual machines to begin with")
	flag.DurationVar(&o.idle, "session-idle", 30*time.Minute, "how long a session lives without a request")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	password := os.Getenv("VSPHERE_SIM_PASSWORD")
	if o.state == "" || o.ready == "" || password == "" {
		return errors.New("-state, -ready-file and $VSPHERE_SIM_PASSWORD are needed")
	}
	state, err := filepath.Abs(o.state)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	// The model makes its datastores under TMPDIR.
	if err := os.Setenv("TMPDIR", state); err != nil {
		return err
	}
	model := simulator.VPX()
	model.Host, model.Cluster, model.ClusterHost, model.Datastore = 0, 1, 3, 2
	model.Machine = o.machines
	defer model.Remove()
	if err := model.Create(); err != nil {
		return fmt.Errorf("the inventory: %w", err)
	}
	certificate, authority, err := newCertificate()
	if err != nil {
		return err
	}
	ca := filepath.Join(state, "ca.pem")
	if err := os.WriteFile(ca, authority, 0o600); err != nil {
		return err
	}
	model.Service.TLS = certificate
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(o.user, password)}

	center := newCenter(model, state)
	server := model.Service.NewServer()
	defer server.Close()
	gate := newGate(center, o.user, password, o.idle, server.Config.Handler)
	server.Config.Handler = gate
	control, err := serveControl(center, gate)
	if err != nil {
		return err
	}
	ready, err := json.Marshal(map[string]any{
		"endpoint": server.URL.Host, "control": control, "ca": ca, "thumbprint": thumbprint(certificate), "pid": os.Getpid(),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.ready+".new", ready, 0o600); err != nil {
		return err
	}
	if err := os.Rename(o.ready+".new", o.ready); err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	<-stop.Done()
	center.continueGuests()
	return nil
}
