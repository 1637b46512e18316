package main

import (
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// grain is what changed block tracking tells apart, in bytes: vSphere's own is 64 KiB for disks of this size.
const grain = 64 << 10

var seed = maphash.MakeSeed()

// tracker knows, of one disk, in which snapshot each grain was last found to have changed. It compares the disk with the
// one of the snapshot before: what was written with the same content does not count, which vSphere would count.
type tracker struct {
	id    string
	count int // of snapshots
	sums  []uint64
	since []int // the count at which a grain last changed
}

func newTracker() *tracker { return &tracker{id: uuid.NewString()} }

// copied is a tracker that goes its own way.
func (t *tracker) copied() *tracker {
	return &tracker{t.id, t.count, append([]uint64(nil), t.sums...), append([]int(nil), t.since...)}
}

// view is what a snapshot keeps of a tracker: it answers for that moment, whatever comes later.
type view struct {
	id        string
	count     int
	since     []int
	allocated []bool
}

func (v *view) changeID() string { return v.id + "/" + strconv.Itoa(v.count) }

// take brings the tracker up to date with the frozen disk at path.
func (t *tracker) take(path string) (*view, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	grains := int((stat.Size() + grain - 1) / grain)
	sums := make([]uint64, grains) // 0: nothing but zeros
	buffer := make([]byte, grain)
	err = eachData(file, stat.Size(), func(start, end int64) error {
		for at := start / grain; at*grain < end; at++ {
			length, err := io.ReadFull(io.NewSectionReader(file, at*grain, grain), buffer)
			if err != nil && err != io.ErrUnexpectedEOF {
				return err
			}
			if !zero(buffer[:length]) {
				sums[at] = maphash.Bytes(seed, buffer[:length]) | 1
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.count++
	since := make([]int, grains)
	allocated := make([]bool, grains)
	for i, sum := range sums {
		allocated[i] = sum != 0
		switch {
		case i < len(t.sums) && t.sums[i] == sum:
			since[i] = t.since[i]
		default:
			since[i] = t.count
		}
	}
	t.sums, t.since = sums, since
	return &view{id: t.id, count: t.count, since: append([]int(nil), since...), allocated: allocated}, nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

type area struct{ start, length int64 }

// changed gives at most limit areas from offset on that changed after the snapshot of changeID, or ("*") are allocated, and up to
// where the answer reaches. An error means that the tracker knows nothing of that changeID.
func (v *view) changed(changeID string, offset, size int64, limit int) ([]area, int64, error) {
	after := 0
	if changeID != "*" {
		id, count, _ := strings.Cut(changeID, "/")
		number, err := strconv.Atoi(count)
		if err != nil || id != v.id || number > v.count || number < 1 {
			return nil, 0, fmt.Errorf("change id %q is not one of %s", changeID, v.id)
		}
		after = number
	}
	wanted := func(i int) bool {
		if changeID == "*" {
			return v.allocated[i]
		}
		return v.since[i] > after
	}
	var areas []area
	for i := int(offset / grain); i < len(v.since); i++ {
		if !wanted(i) {
			continue
		}
		start, end := max(int64(i)*grain, offset), min(int64(i+1)*grain, size)
		if last := len(areas) - 1; last >= 0 && areas[last].start+areas[last].length == start {
			areas[last].length = end - areas[last].start
			continue
		}
		if len(areas) == limit {
			return areas, areas[limit-1].start + areas[limit-1].length, nil
		}
		areas = append(areas, area{start, end - start})
	}
	return areas, size, nil
}
