package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// flood measures how many MiB/s the endpoint takes from senders that do nothing but send.
func flood(arguments []string) error {
	flags := flag.NewFlagSet("flood", flag.ContinueOnError)
	address := flags.String("address", "", "host:port of the endpoint")
	secure := flags.Bool("tls", false, "speak TLS (the certificate is not checked)")
	connections := flags.Int("connections", 4, "at once")
	seconds := flags.Float64("seconds", 2, "how long")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	head := []byte("PUT /snapshots/snap-flood/blocks/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 524288\r\nx-amz-Data-Length: 524288\r\n" +
		"x-amz-Checksum: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\nx-amz-Checksum-Algorithm: SHA256\r\n\r\n")
	message := append(head, make([]byte, blockSize)...)
	var sent atomic.Int64
	failures := make([]error, *connections)
	var group sync.WaitGroup
	started := time.Now()
	deadline := started.Add(time.Duration(*seconds * float64(time.Second)))
	for n := 0; n < *connections; n++ {
		group.Add(1)
		go func() {
			defer group.Done()
			failures[n] = pour(*address, *secure, message, deadline, &sent)
		}()
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	rate := float64(sent.Load()) / 2 / time.Since(started).Seconds()
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"mib_s": rate})
}

func pour(address string, secure bool, message []byte, deadline time.Time, sent *atomic.Int64) error {
	var conn net.Conn
	var err error
	if secure {
		conn, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	} else {
		conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	answer := make([]byte, 4096)
	for time.Now().Before(deadline) {
		if _, err := conn.Write(message); err != nil {
			return err
		}
		n := 0
		for !bytes.Contains(answer[:n], []byte("\r\n\r\n")) {
			got, err := conn.Read(answer[n:])
			if err != nil {
				return err
			}
			n += got
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 201 ")) {
			return fmt.Errorf("the endpoint answered %q", answer[:n])
		}
		sent.Add(1)
	}
	return nil
}
