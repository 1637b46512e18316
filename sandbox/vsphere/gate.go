package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
)

// httpFault spoils requests whose path contains Path.
type httpFault struct {
	Path   string  `json:"path"`
	Status int     `json:"status"` // answered instead; 0: the request is served
	Drop   int64   `json:"drop"`   // the connection breaks after so many bytes of the body
	Delay  float64 `json:"delay"`  // seconds before the answer
	Skip   int     `json:"skip"`   // so many requests pass first
	Count  int     `json:"count"`
}

// gate stands before the simulator: sessions that expire, and what is read from datastores and leases.
type gate struct {
	center *center
	user   string
	secret string
	idle   time.Duration
	inner  http.Handler

	mu       sync.Mutex
	sessions map[string]time.Time // by cookie: when it was last used
	faults   []*httpFault
	read     int64 // bytes sent of flat files
	requests int   // for them
	logins   int   // with a password, for /folder
}

func newGate(center *center, user, secret string, idle time.Duration, inner http.Handler) *gate {
	return &gate{center: center, user: user, secret: secret, idle: idle, inner: inner, sessions: map[string]time.Time{}}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := g.takeFault(r.URL.Path); fault != nil {
		time.Sleep(time.Duration(fault.Delay * float64(time.Second)))
		if fault.Status != 0 {
			http.Error(w, "as the control page asked for", fault.Status)
			return
		}
		if fault.Drop > 0 {
			w = &droppingWriter{ResponseWriter: w, left: fault.Drop}
		}
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/folder/"):
		g.serveFolder(w, r)
	case strings.HasPrefix(r.URL.Path, "/nfc/"):
		g.serveLease(w, r)
	default:
		if !g.known(r) {
			r.Header.Del("Cookie")
		}
		g.inner.ServeHTTP(w, r)
		g.remember(w.Header())
	}
}

func (g *gate) known(r *http.Request) bool {
	cookie, err := r.Cookie(soap.SessionCookieName)
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	value := strings.Trim(cookie.Value, `"`)
	last, ok := g.sessions[value]
	if !ok || time.Since(last) > g.idle {
		delete(g.sessions, value)
		return false
	}
	g.sessions[value] = time.Now()
	return true
}

func (g *gate) remember(header http.Header) {
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		if cookie.Name == soap.SessionCookieName {
			g.mu.Lock()
			g.sessions[strings.Trim(cookie.Value, `"`)] = time.Now()
			g.mu.Unlock()
		}
	}
}

// expire ends all sessions, as an administrator or a restart of vCenter does.
func (g *gate) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions = map[string]time.Time{}
}

func (g *gate) serveFolder(w http.ResponseWriter, r *http.Request) {
	if !g.known(r) {
		user, secret, ok := r.BasicAuth()
		same := subtle.ConstantTimeCompare([]byte(user+"\x00"+secret), []byte(g.user+"\x00"+g.secret)) == 1
		if !ok || !same {
			w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		key := make([]byte, 16)
		_, _ = rand.Read(key)
		http.SetCookie(w, &http.Cookie{Name: soap.SessionCookieName, Value: hex.EncodeToString(key), Path: "/", HttpOnly: true, Secure: true})
		g.remember(w.Header())
		g.mu.Lock()
		g.logins++
		g.mu.Unlock()
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	flat := g.flat(r)
	if flat == "" {
		http.NotFound(w, r)
		return
	}
	file, err := os.Open(g.center.behind(flat))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	counting := &countingWriter{ResponseWriter: w}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(counting, r, "", time.Time{}, file)
	g.mu.Lock()
	g.read += counting.sent
	g.requests++
	g.mu.Unlock()
}

// flat is the file that a /folder address means. The names of datacenter and datastore are quoted twice, as vCenter wants.
func (g *gate) flat(r *http.Request) string {
	dc, err := url.QueryUnescape(r.URL.Query().Get("dcPath"))
	if err != nil {
		return ""
	}
	store, err := url.QueryUnescape(r.URL.Query().Get("dsName"))
	if err != nil {
		return ""
	}
	registry := g.center.model.Map()
	found := false
	for _, entity := range registry.All("Datacenter") {
		found = found || entity.(*simulator.Datacenter).Name == filepath.Base(dc)
	}
	name := strings.TrimPrefix(r.URL.Path, "/folder/")
	if !found || strings.Contains(name, "..") {
		return ""
	}
	for _, entity := range registry.All("Datastore") {
		if each := entity.(*simulator.Datastore); each.Name == store {
			return filepath.Join(each.Summary.Url, name)
		}
	}
	return ""
}

// serveLease streams a disk of an exported snapshot, as a stream-optimized VMDK.
func (g *gate) serveLease(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/nfc/"), "/")
	if len(parts) != 2 {
		http.NotFound(w, r)
		return
	}
	g.center.mu.Lock()
	set := g.center.leases[parts[0]]
	var path string
	if set != nil {
		for _, disk := range set.disks {
			if strings.TrimSuffix(filepath.Base(disk.flat), "-flat.vmdk") == strings.TrimSuffix(parts[1], ".vmdk") {
				path = disk.path
			}
		}
	}
	g.center.mu.Unlock()
	if path == "" {
		http.NotFound(w, r)
		return
	}
	file, err := os.Open(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/x-vnd.vmware-streamVmdk")
	if r.Method == http.MethodGet {
		if err := writeStream(w, file); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

func (g *gate) takeFault(path string) *httpFault {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, fault := range g.faults {
		if !strings.Contains(path, fault.Path) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Count--; fault.Count <= 0 {
			g.faults = append(g.faults[:i], g.faults[i+1:]...)
		}
		return fault
	}
	return nil
}

type countingWriter struct {
	http.ResponseWriter
	sent int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// droppingWriter breaks the connection in the middle of a body.
type droppingWriter struct {
	http.ResponseWriter
	left int64
}

func (w *droppingWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > w.left {
		_, _ = w.ResponseWriter.Write(b[:w.left])
		if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(b))
	return w.ResponseWriter.Write(b)
}

var _ io.Writer = (*droppingWriter)(nil)
