package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const blockSize = 512 * 1024

// settings are what the bench changes between cases (POST /-/settings).
type settings struct {
	LatencyMs     float64 `json:"latency_ms"`      // before each answer
	PutsPerSecond float64 `json:"puts_per_second"` // 0: as many as come
	Burst         float64 `json:"burst"`           // puts that may come at once
	Verify        bool    `json:"verify"`          // hash each body and compare it with its checksum
}

type server struct {
	config   *tls.Config
	settings atomic.Pointer[settings]
	store    store
	limit    bucket
	mutex    sync.Mutex
	counts   map[string]int64
}

// bucket refuses what exceeds a rate: full at the start, filled at the rate, never above its burst.
type bucket struct {
	mutex  sync.Mutex
	tokens float64
	at     time.Time
}

func (b *bucket) reset(burst float64) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.tokens, b.at = burst, time.Now()
}

func (b *bucket) take(rate, burst float64) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	now := time.Now()
	b.tokens = min(burst, b.tokens+rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func serve(arguments []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	folder := flags.String("tls", "", "speak TLS, and leave the authority's certificate as ca.pem in this folder")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	s := &server{counts: map[string]int64{}, store: store{snapshots: map[string]*snapshot{}}}
	s.settings.Store(&settings{})
	if *folder != "" {
		config, err := certified(*folder)
		if err != nil {
			return err
		}
		s.config = config
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() { // whoever started this has ended
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		plain, err := listener.Accept()
		if err != nil {
			return err
		}
		go s.talk(plain)
	}
}

func (s *server) talk(plain net.Conn) {
	defer plain.Close()
	c, err := newConnection(plain, s.config)
	for err == nil {
		var r *request
		if r, err = c.next(); err == nil {
			err = s.handle(c, r)
		}
	}
}

func (s *server) count(name string) {
	s.mutex.Lock()
	s.counts[name]++
	s.mutex.Unlock()
}

func (s *server) handle(c *connection, r *request) error {
	parts := strings.Split(strings.Trim(r.path, "/"), "/")
	if parts[0] == "-" {
		return s.manage(c, r, strings.Join(parts[1:], "/"))
	}
	now := s.settings.Load()
	switch {
	case r.method == "PUT" && len(parts) == 4 && parts[2] == "blocks":
		return s.put(c, r, parts[1], parts[3], now)
	case r.method == "GET" && len(parts) == 4 && parts[2] == "blocks":
		return s.get(c, parts[1], parts[3], now)
	}
	body, err := c.body(r.length)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(now.LatencyMs * float64(time.Millisecond)))
	switch {
	case r.method == "POST" && r.path == "/snapshots":
		s.count("StartSnapshot")
		return s.start(c, body)
	case r.method == "POST" && len(parts) == 3 && parts[1] == "completion":
		s.count("CompleteSnapshot")
		return s.complete(c, r, parts[2])
	case r.method == "GET" && len(parts) == 3 && parts[2] == "blocks":
		s.count("ListSnapshotBlocks")
		return s.list(c, r, parts[1])
	}
	s.count("unknown")
	return refuse(c, 400, "UnknownOperationException", r.method+" "+r.path)
}

func refuse(c *connection, status int, code, message string) error {
	body, _ := json.Marshal(map[string]string{"Message": message})
	return c.answer(status, "x-amzn-ErrorType: "+code+"\r\n", string(body))
}

func (s *server) put(c *connection, r *request, id, index string, now *settings) error {
	s.count("PutSnapshotBlock")
	var sum []byte
	if now.Verify {
		body, err := c.body(r.length)
		if err != nil {
			return err
		}
		actual := sha256.Sum256(body)
		sum = actual[:]
	} else if err := c.drain(r.length); err != nil {
		return err
	}
	if now.LatencyMs > 0 {
		time.Sleep(time.Duration(now.LatencyMs * float64(time.Millisecond)))
	}
	if now.PutsPerSecond > 0 && !s.limit.take(now.PutsPerSecond, now.Burst) {
		s.count("throttled")
		return refuse(c, 400, "RequestThrottledException", "Rate exceeded")
	}
	said := r.header["x-amz-checksum"]
	digest, err := base64.StdEncoding.DecodeString(said)
	number, bad := strconv.Atoi(index)
	switch {
	case err != nil || len(digest) != sha256.Size || bad != nil:
		return refuse(c, 400, "ValidationException", "bad block index or checksum")
	case r.length != blockSize || r.header["x-amz-data-length"] != strconv.Itoa(blockSize):
		return refuse(c, 400, "ValidationException", "a block is 524288 bytes")
	case sum != nil && !bytes.Equal(sum, digest):
		s.count("mismatched")
		return refuse(c, 400, "ValidationException", "the checksum does not match")
	}
	if id != "snap-flood" && !s.store.put(id, number, digest) {
		return refuse(c, 404, "ResourceNotFoundException", "no pending snapshot "+id)
	}
	return c.answer(201, "x-amz-Checksum: "+said+"\r\nx-amz-Checksum-Algorithm: SHA256\r\n", "{}")
}

func (s *server) get(c *connection, id, index string, now *settings) error {
	s.count("GetSnapshotBlock")
	number, err := strconv.Atoi(index)
	found := s.store.find(id)
	if err != nil || found == nil || found.file == nil {
		return refuse(c, 404, "ResourceNotFoundException", "no block "+index+" of "+id)
	}
	digest, held := found.digests[number]
	if !held {
		return refuse(c, 404, "ResourceNotFoundException", "no block "+index+" of "+id)
	}
	if now.LatencyMs > 0 {
		time.Sleep(time.Duration(now.LatencyMs * float64(time.Millisecond)))
	}
	headers := "x-amz-Checksum: " + base64.StdEncoding.EncodeToString(digest) + "\r\nx-amz-Checksum-Algorithm: SHA256\r\nx-amz-Data-Length: 524288\r\n"
	return c.answerFile(headers, found.file, int64(number)*blockSize, blockSize)
}

func (s *server) start(c *connection, body []byte) error {
	var wanted struct {
		VolumeSize       int64
		ParentSnapshotId string
	}
	if err := json.Unmarshal(body, &wanted); err != nil {
		return refuse(c, 400, "ValidationException", err.Error())
	}
	id := s.store.start(wanted.VolumeSize)
	answer, _ := json.Marshal(map[string]any{"SnapshotId": id, "Status": "pending", "VolumeSize": wanted.VolumeSize, "BlockSize": blockSize,
		"OwnerId": "123456789012", "StartTime": time.Now().Unix(), "ParentSnapshotId": wanted.ParentSnapshotId})
	return c.answer(201, "", string(answer))
}

func (s *server) complete(c *connection, r *request, id string) error {
	count, _ := strconv.Atoi(r.header["x-amz-changedblockscount"])
	if problem := s.store.complete(id, count, r.header["x-amz-checksum"]); problem != "" {
		return refuse(c, 400, "ValidationException", problem)
	}
	return c.answer(202, "", `{"Status":"completed"}`)
}

func (s *server) list(c *connection, r *request, id string) error {
	found := s.store.find(id)
	if found == nil {
		return refuse(c, 404, "ResourceNotFoundException", "no snapshot "+id)
	}
	query, _ := url.ParseQuery(r.query)
	limit, _ := strconv.Atoi(query.Get("maxResults"))
	from, _ := strconv.Atoi(query.Get("pageToken"))
	type block struct {
		BlockIndex int
		BlockToken string
	}
	page := map[string]any{"VolumeSize": found.gib, "BlockSize": blockSize, "ExpiryTime": time.Now().Add(time.Hour).Unix()}
	blocks := []block{}
	for _, index := range found.ordered() {
		if index < from {
			continue
		}
		if len(blocks) == max(limit, 100) {
			page["NextToken"] = strconv.Itoa(index)
			break
		}
		blocks = append(blocks, block{index, "token-" + strconv.Itoa(index)})
	}
	page["Blocks"] = blocks
	answer, _ := json.Marshal(page)
	return c.answer(200, "", string(answer))
}

func (s *server) manage(c *connection, r *request, what string) error {
	body, err := c.body(r.length)
	if err != nil {
		return err
	}
	switch what {
	case "settings":
		wanted := &settings{}
		if err := json.Unmarshal(body, wanted); err != nil {
			return refuse(c, 400, "bad", err.Error())
		}
		s.settings.Store(wanted)
		s.limit.reset(wanted.Burst)
		s.mutex.Lock()
		s.counts = map[string]int64{}
		s.mutex.Unlock()
		return c.answer(200, "", "{}")
	case "counts":
		s.mutex.Lock()
		answer, _ := json.Marshal(s.counts)
		s.mutex.Unlock()
		return c.answer(200, "", string(answer))
	case "disk": // the body is the path of a file; the answer is the snapshot that reads as it
		id, err := s.store.serve(string(body))
		if err != nil {
			return refuse(c, 400, "bad", err.Error())
		}
		return c.answer(200, "", id)
	case "forget":
		s.store.forget()
		return c.answer(200, "", "{}")
	}
	return refuse(c, 404, "bad", what)
}
