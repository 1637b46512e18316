package main

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
)

// A secure connection is TLS 1.3 as crypto/tls speaks it, but for one thing: the body of a request can be skipped without
// decrypting it. AWS decrypts on machines of its own; here that work would be done by the cores that are to be measured. The head
// of each request is decrypted and authenticated, and so is a body that is looked at (settings.Verify).
type secureConn struct {
	*tls.Conn // the handshake, and all that is written
	wire      *recordConn
	aead      cipher.AEAD
	iv        []byte
	sequence  uint64
	plain     []byte // decrypted and not yet read
}

const (
	recordHeader    = 5
	recordOverhead  = 17 // the type of what is inside, and the tag (RFC 8446, 5.2)
	applicationData = 23
)

func secured(plain net.Conn, config *tls.Config) (*secureConn, error) {
	var secrets bytes.Buffer
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	config.SessionTicketsDisabled = true
	config.KeyLogWriter = &secrets
	wire := &recordConn{Conn: plain, reader: bufio.NewReaderSize(plain, 128<<10), writer: bufio.NewWriterSize(plain, 256<<10)}
	c := &secureConn{Conn: tls.Server(wire, config), wire: wire}
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, fmt.Errorf("the client does not offer TLS_AES_128_GCM_SHA256, but %s", tls.CipherSuiteName(suite))
	}
	var random, secret string
	for _, line := range bytes.Split(secrets.Bytes(), []byte("\n")) {
		if n, _ := fmt.Sscanf(string(line), "CLIENT_TRAFFIC_SECRET_0 %s %s", &random, &secret); n == 2 {
			break
		}
	}
	traffic, err := hex.DecodeString(secret)
	if err != nil || len(traffic) != sha256.Size {
		return nil, errors.New("crypto/tls gave no traffic secret")
	}
	block, err := aes.NewCipher(expandLabel(traffic, "key", 16))
	if err != nil {
		return nil, err
	}
	c.iv = expandLabel(traffic, "iv", 12)
	c.aead, err = cipher.NewGCM(block)
	return c, err
}

// expandLabel is HKDF-Expand-Label of RFC 8446, 7.1, for at most one hash's length and no context.
func expandLabel(secret []byte, label string, length int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(length >> 8), byte(length), byte(len(label))}, label...)
	mac := hmac.New(sha256.New, secret)
	mac.Write(append(info, 0, 1))
	return mac.Sum(nil)[:length]
}

func (c *secureConn) Read(buffer []byte) (int, error) {
	for len(c.plain) == 0 {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	n := copy(buffer, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}

// open decrypts the next record.
func (c *secureConn) open() error {
	length, err := c.record()
	if err != nil {
		return err
	}
	sealed := make([]byte, length)
	if _, err := io.ReadFull(c.wire.reader, sealed); err != nil {
		return err
	}
	nonce := bytes.Clone(c.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^c.sequence)
	header := []byte{applicationData, 3, 3, byte(length >> 8), byte(length)}
	opened, err := c.aead.Open(sealed[:0], nonce, sealed, header)
	if err != nil {
		return err
	}
	c.sequence++
	opened = bytes.TrimRight(opened, "\x00")
	if len(opened) == 0 || opened[len(opened)-1] != applicationData {
		return io.EOF // an alert: the client closes
	}
	c.plain = opened[:len(opened)-1]
	return nil
}

// record reads the header of the next record and returns the length of what follows.
func (c *secureConn) record() (int, error) {
	if err := c.wire.writer.Flush(); err != nil {
		return 0, err
	}
	header, err := c.wire.reader.Peek(recordHeader)
	if err != nil {
		return 0, err
	}
	length := int(binary.BigEndian.Uint16(header[3:]))
	if header[0] != applicationData || length <= recordOverhead {
		return 0, fmt.Errorf("a record of type %d with %d bytes", header[0], length)
	}
	_, err = c.wire.reader.Discard(recordHeader)
	return length, err
}

// skip passes over so many bytes of a body, which ends where a record ends.
func (c *secureConn) skip(count int) error {
	ahead := min(count, len(c.plain))
	c.plain = c.plain[ahead:]
	for count -= ahead; count > 0; {
		length, err := c.record()
		if err != nil {
			return err
		}
		if _, err := c.wire.reader.Discard(length); err != nil {
			return err
		}
		c.sequence++
		count -= length - recordOverhead
	}
	if count < 0 {
		return errors.New("a record goes beyond the end of a body")
	}
	return nil
}

// recordConn gives crypto/tls one record at a time, so that it holds nothing when the handshake is done, and collects what it writes
// until somebody reads: it writes each 16 KiB by itself.
type recordConn struct {
	net.Conn
	reader *bufio.Reader
	writer *bufio.Writer
	rest   int // of the record that is being read
}

func (c *recordConn) Read(buffer []byte) (int, error) {
	if err := c.writer.Flush(); err != nil {
		return 0, err
	}
	if c.rest == 0 {
		header, err := c.reader.Peek(recordHeader)
		if err != nil {
			return 0, err
		}
		c.rest = recordHeader + int(binary.BigEndian.Uint16(header[3:]))
	}
	n, err := c.reader.Read(buffer[:min(len(buffer), c.rest)])
	c.rest -= n
	return n, err
}

func (c *recordConn) Write(data []byte) (int, error) { return c.writer.Write(data) }
