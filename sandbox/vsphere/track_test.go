package main

import (
	"os"
	"path/filepath"
	"testing"
)

// write puts one byte into each of the grains and leaves holes between them.
func write(t *testing.T, path string, size int64, grains ...int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range grains {
		if _, err := file.WriteAt([]byte{byte(at + 1)}, at*grain+17); err != nil {
			t.Fatal(err)
		}
	}
}

func take(t *testing.T, tracker *tracker, path string) *view {
	t.Helper()
	found, err := tracker.take(path)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestChangedAreas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	size := int64(10*grain + 512)
	tracker := newTracker()
	write(t, path, size, 0, 1, 5)
	first := take(t, tracker, path)
	write(t, path, size, 7, 9)
	second := take(t, tracker, path)
	write(t, path, size, 10)
	third := take(t, tracker, path)

	for _, each := range []struct {
		view  *view
		since string
		areas []area
	}{
		{first, "*", []area{{0, 2 * grain}, {5 * grain, grain}}},
		{second, first.changeID(), []area{{7 * grain, grain}, {9 * grain, grain}}},
		{third, first.changeID(), []area{{7 * grain, grain}, {9 * grain, grain + 512}}},
		{third, second.changeID(), []area{{10 * grain, 512}}},
		{third, third.changeID(), nil},
		// What came later is not in an earlier snapshot.
		{second, second.changeID(), nil},
	} {
		areas, reached, err := each.view.changed(each.since, 0, size, 100)
		if err != nil || reached != size || !equal(areas, each.areas) {
			t.Errorf("since %s: %v up to %d (%v), wanted %v", each.since, areas, reached, err, each.areas)
		}
	}
	if _, _, err := first.changed(second.changeID(), 0, size, 100); err == nil {
		t.Error("a change id of the future was answered")
	}
	if _, _, err := third.changed(newTracker().id+"/1", 0, size, 100); err == nil {
		t.Error("a change id of another tracker was answered")
	}
}

func TestPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	size := int64(20 * grain)
	write(t, path, size, 1, 3, 5, 7, 9)
	view := take(t, newTracker(), path)
	var all []area
	pages := 0
	for at := int64(0); at < size; pages++ {
		areas, reached, err := view.changed("*", at, size, 2)
		if err != nil || reached <= at {
			t.Fatalf("from %d: up to %d (%v)", at, reached, err)
		}
		all, at = append(all, areas...), reached
	}
	if pages != 3 || len(all) != 5 {
		t.Errorf("%d pages with %d areas", pages, len(all))
	}
}

func TestCopyKeepsHoles(t *testing.T) {
	folder := t.TempDir()
	source, target := filepath.Join(folder, "a"), filepath.Join(folder, "b")
	size := int64(64 << 20)
	write(t, source, size, 3, 900)
	if err := copyFile(source, target); err != nil {
		t.Fatal(err)
	}
	before, after := take(t, newTracker(), source), take(t, newTracker(), target)
	for i := range before.allocated {
		if before.allocated[i] != after.allocated[i] {
			t.Fatalf("grain %d differs", i)
		}
	}
	file, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var data int64
	if err := eachData(file, size, func(start, end int64) error { data += end - start; return nil }); err != nil {
		t.Fatal(err)
	}
	if data > 4<<20 {
		t.Errorf("%d bytes of data in the copy", data)
	}
}

func equal(a, b []area) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
