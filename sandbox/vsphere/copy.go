package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	seekData = 3
	seekHole = 4
	ficlone  = 0x40049409 // _IOW(0x94, 9, int), linux/fs.h
)

// copyFile makes target a copy of source with the same holes; by a reflink where the file system has them.
func copyFile(source, target string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, to.Fd(), ficlone, from.Fd()); errno == 0 {
		return to.Close()
	}
	stat, err := from.Stat()
	if err != nil {
		return err
	}
	if err := to.Truncate(stat.Size()); err != nil {
		return err
	}
	err = eachData(from, stat.Size(), func(start, end int64) error {
		if _, err := to.Seek(start, io.SeekStart); err != nil {
			return err
		}
		_, err := io.Copy(to, io.NewSectionReader(from, start, end-start))
		return err
	})
	return errors.Join(err, to.Close())
}

// eachData calls f with each stretch of the file that is no hole.
func eachData(file *os.File, size int64, f func(start, end int64) error) error {
	for at := int64(0); at < size; {
		start, err := file.Seek(at, seekData)
		if errors.Is(err, syscall.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		end, err := file.Seek(start, seekHole)
		if err != nil {
			return err
		}
		if err := f(start, min(end, size)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// pause stops a guest's process and waits until each of its threads stands still, so that its disks are of one moment,
// as after a power cut. The function that it returns lets the guest go on.
func pause(pid int) (func(), error) {
	if pid == 0 {
		return func() {}, nil
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("the guest's process %d: %w", pid, err)
	}
	resume := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	deadline := time.Now().Add(10 * time.Second)
	for !stopped(pid) {
		if time.Now().After(deadline) {
			resume()
			return nil, fmt.Errorf("the guest's process %d does not stop", pid)
		}
		time.Sleep(time.Millisecond)
	}
	return resume, nil
}

func stopped(pid int) bool {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return true // it has ended, and writes no more
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
		if err != nil {
			continue
		}
		after := stat[strings.LastIndexByte(string(stat), ')')+1:]
		fields := strings.Fields(string(after))
		if len(fields) > 0 && fields[0] != "T" && fields[0] != "t" && fields[0] != "Z" && fields[0] != "X" {
			return false
		}
	}
	return true
}
