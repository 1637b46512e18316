package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"sort"
	"sync"
	"syscall"
)

// A snapshot knows its blocks' digests; only one that serves a file has bytes.
type snapshot struct {
	gib      int64
	pending  bool
	digests  map[int][]byte
	file     *os.File
	sequence []int
}

type store struct {
	mutex     sync.Mutex
	snapshots map[string]*snapshot
	made      int
}

func (s *store) start(gib int64) string {
	return s.add(&snapshot{gib: gib, pending: true, digests: map[int][]byte{}})
}

func (s *store) add(one *snapshot) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.made++
	id := fmt.Sprintf("snap-%017x", s.made)
	s.snapshots[id] = one
	return id
}

func (s *store) find(id string) *snapshot {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.snapshots[id]
}

// forget drops what was uploaded; what serves a file stays.
func (s *store) forget() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for id, one := range s.snapshots {
		if one.file == nil {
			delete(s.snapshots, id)
		}
	}
}

func (s *store) put(id string, index int, digest []byte) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	one := s.snapshots[id]
	if one == nil || !one.pending {
		return false
	}
	one.digests[index] = digest
	return true
}

// complete checks what EBS checks: the number of blocks and the LINEAR aggregate of their digests. It returns what is wrong.
func (s *store) complete(id string, count int, checksum string) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	one := s.snapshots[id]
	if one == nil {
		return "no snapshot " + id
	}
	if count != len(one.digests) {
		return fmt.Sprintf("%d blocks were put, not %d", len(one.digests), count)
	}
	total := sha256.New()
	for _, index := range one.ordered() {
		total.Write(one.digests[index])
	}
	if actual := base64.StdEncoding.EncodeToString(total.Sum(nil)); count > 0 && checksum != actual {
		return "the aggregate checksum does not match"
	}
	one.pending = false
	return ""
}

func (one *snapshot) ordered() []int {
	if one.sequence == nil || one.pending {
		one.sequence = make([]int, 0, len(one.digests))
		for index := range one.digests {
			one.sequence = append(one.sequence, index)
		}
		sort.Ints(one.sequence)
	}
	return one.sequence
}

// serve makes a completed snapshot of a file, whose holes the snapshot does not have.
func (s *store) serve(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	one := &snapshot{gib: (info.Size() + 1<<30 - 1) >> 30, digests: map[int][]byte{}, file: file}
	const seekData = 3
	buffer := make([]byte, blockSize)
	for at := int64(0); at < info.Size(); at += blockSize {
		data, err := file.Seek(at, seekData)
		if err != nil {
			if pathError, ok := err.(*os.PathError); ok && pathError.Err == syscall.ENXIO {
				break
			}
			return "", err
		}
		at = data / blockSize * blockSize
		if _, err := file.ReadAt(buffer, at); err != nil {
			return "", err
		}
		digest := sha256.Sum256(buffer)
		one.digests[int(at/blockSize)] = digest[:]
	}
	return s.add(one), nil
}
