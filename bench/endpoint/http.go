package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A request whose body has not been read. net/http would do, but copies a body twice before anybody sees it.
type request struct {
	method, path, query string
	header              map[string]string // lower-case names
	length              int
}

type connection struct {
	net.Conn
	reader *bufio.Reader
	raw    syscall.RawConn // nil under TLS
	secure *secureConn     // nil without
	buffer []byte
}

func newConnection(plain net.Conn, config *tls.Config) (*connection, error) {
	c := &connection{Conn: plain}
	if config != nil {
		secure, err := secured(plain, config)
		if err != nil {
			return nil, err
		}
		c.Conn, c.secure = secure, secure
	} else {
		raw, err := plain.(*net.TCPConn).SyscallConn()
		if err != nil {
			return nil, err
		}
		c.raw = raw
	}
	c.reader = bufio.NewReaderSize(c.Conn, 4096)
	return c, nil
}

func (c *connection) next() (*request, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 {
		return nil, fmt.Errorf("bad request line %q", line)
	}
	r := &request{method: parts[0], path: parts[1], header: map[string]string{}}
	r.path, r.query, _ = strings.Cut(r.path, "?")
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		r.header[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	if r.header["transfer-encoding"] != "" {
		return nil, errors.New("chunked bodies are not supported")
	}
	if text := r.header["content-length"]; text != "" {
		if r.length, err = strconv.Atoi(text); err != nil {
			return nil, err
		}
	}
	if strings.EqualFold(r.header["expect"], "100-continue") {
		_, err = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	return r, err
}

func (c *connection) line() (string, error) {
	line, err := c.reader.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}

// body reads the whole body into a buffer that the next call reuses.
func (c *connection) body(length int) ([]byte, error) {
	if len(c.buffer) < length {
		c.buffer = make([]byte, length)
	}
	_, err := io.ReadFull(c.reader, c.buffer[:length])
	return c.buffer[:length], err
}

// drain throws a body away: over plain TCP the kernel does it without copying (tcp(7), MSG_TRUNC), under TLS it is not decrypted.
func (c *connection) drain(length int) error {
	ahead := min(length, c.reader.Buffered())
	if _, err := c.reader.Discard(ahead); err != nil {
		return err
	}
	length -= ahead
	if c.secure != nil {
		return c.secure.skip(length)
	}
	for length > 0 {
		var n int
		var failure error
		err := c.raw.Read(func(fd uintptr) bool {
			got, _, no := syscall.Syscall6(syscall.SYS_RECVFROM, fd, 0, uintptr(length), syscall.MSG_TRUNC|syscall.MSG_DONTWAIT, 0, 0)
			if no == syscall.EAGAIN || no == syscall.EINTR {
				return false
			}
			if no != 0 {
				failure = no
			}
			n = int(got)
			return true
		})
		if err = errors.Join(err, failure); err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		length -= n
	}
	return nil
}

func (c *connection) answer(status int, headers, body string) error {
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nx-amzn-RequestId: bench\r\n%sContent-Length: %d\r\n\r\n%s", status, headers, len(body), body)
	return err
}

// answerFile sends a piece of a file as body: from the page cache to the socket, where the kernel can.
func (c *connection) answerFile(headers string, file *os.File, offset, length int64) error {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nx-amzn-RequestId: bench\r\n%sContent-Length: %d\r\n\r\n", headers, length)
	if c.raw == nil {
		if len(c.buffer) < int(length) {
			c.buffer = make([]byte, length)
		}
		if _, err := file.ReadAt(c.buffer[:length], offset); err != nil && err != io.EOF {
			return err
		}
		if _, err := io.WriteString(c, head); err != nil {
			return err
		}
		_, err := c.Write(c.buffer[:length])
		return err
	}
	if _, err := io.WriteString(c, head); err != nil {
		return err
	}
	var failure error
	err := c.raw.Write(func(fd uintptr) bool {
		for length > 0 {
			n, err := syscall.Sendfile(int(fd), int(file.Fd()), &offset, int(length))
			if err == syscall.EAGAIN {
				return false
			}
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				failure = err
				return true
			}
			if n == 0 {
				failure = io.ErrUnexpectedEOF
				return true
			}
			length -= int64(n)
		}
		return true
	})
	return errors.Join(err, failure)
}
