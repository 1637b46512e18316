package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// The stream-optimized VMDK of VMware's "Virtual Disk Format 5.0": a header, an embedded descriptor, compressed grains, grain tables,
// the grain directory, a footer and an end-of-stream marker. Sectors are 512 bytes.
const (
	sector        = 512
	streamGrain   = 128 // sectors: 64 KiB
	tableEntries  = 512
	descriptorLen = 20 // sectors
	noDirectory   = ^uint64(0)
)

type streamHeader struct {
	Magic              uint32
	Version            uint32
	Flags              uint32
	Capacity           uint64
	GrainSize          uint64
	DescriptorOffset   uint64
	DescriptorSize     uint64
	TableEntries       uint32
	SecondaryDirectory uint64
	Directory          uint64
	Overhead           uint64
	Unclean            byte
	Newlines           [4]byte
	Compression        uint16
	Padding            [433]byte
}

type streamWriter struct {
	out io.Writer
	at  int64
	err error
}

func (s *streamWriter) write(b []byte) {
	if s.err == nil {
		var n int
		n, s.err = s.out.Write(b)
		s.at += int64(n)
	}
}

func (s *streamWriter) pad() {
	if rest := s.at % sector; rest != 0 {
		s.write(make([]byte, sector-rest))
	}
}

// marker announces size sectors of metadata: 1 a grain table, 2 the directory, 3 the footer, 0 the end.
func (s *streamWriter) marker(sectors uint64, kind uint32) {
	b := make([]byte, sector)
	binary.LittleEndian.PutUint64(b, sectors)
	binary.LittleEndian.PutUint32(b[12:], kind)
	s.write(b)
}

func writeStream(out io.Writer, disk *os.File) error {
	stat, err := disk.Stat()
	if err != nil {
		return err
	}
	size := stat.Size()
	header := streamHeader{
		Magic: 0x564d444b, Version: 3, Flags: 0x30001, Capacity: uint64(size / sector), GrainSize: streamGrain,
		DescriptorOffset: 1, DescriptorSize: descriptorLen, TableEntries: tableEntries, Directory: noDirectory,
		Overhead: 128, Newlines: [4]byte{'\n', ' ', '\r', '\n'}, Compression: 1,
	}
	s := &streamWriter{out: out}
	put := func(h streamHeader) {
		var b bytes.Buffer
		_ = binary.Write(&b, binary.LittleEndian, h)
		s.write(b.Bytes())
	}
	put(header)
	descriptor := make([]byte, descriptorLen*sector)
	copy(descriptor, fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"+
		"createType=\"streamOptimized\"\n\nRDONLY %d SPARSE \"disk.vmdk\"\n\nddb.adapterType = \"lsilogic\"\n", size/sector))
	s.write(descriptor)
	s.write(make([]byte, int(header.Overhead)*sector-int(s.at)))

	grains := (size + streamGrain*sector - 1) / (streamGrain * sector)
	var directory []uint32
	buffer := make([]byte, streamGrain*sector)
	for first := int64(0); first < grains; first += tableEntries {
		table := make([]uint32, tableEntries)
		used := false
		for i := first; i < min(first+tableEntries, grains); i++ {
			clear(buffer)
			if _, err := disk.ReadAt(buffer, i*streamGrain*sector); err != nil && err != io.EOF {
				return err
			}
			if zero(buffer) {
				continue
			}
			used = true
			table[i-first] = uint32(s.at / sector)
			var packed bytes.Buffer
			z, err := zlib.NewWriterLevel(&packed, zlib.BestSpeed)
			if err != nil {
				return err
			}
			if _, err := z.Write(buffer); err != nil {
				return err
			}
			if err := z.Close(); err != nil {
				return err
			}
			head := make([]byte, 12)
			binary.LittleEndian.PutUint64(head, uint64(i*streamGrain))
			binary.LittleEndian.PutUint32(head[8:], uint32(packed.Len()))
			s.write(head)
			s.write(packed.Bytes())
			s.pad()
		}
		if !used {
			directory = append(directory, 0)
			continue
		}
		s.marker(tableEntries*4/sector, 1)
		directory = append(directory, uint32(s.at/sector))
		var b bytes.Buffer
		_ = binary.Write(&b, binary.LittleEndian, table)
		s.write(b.Bytes())
	}
	s.marker(uint64((len(directory)*4+sector-1)/sector), 2)
	header.Directory = uint64(s.at / sector)
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, directory)
	s.write(b.Bytes())
	s.pad()
	s.marker(1, 3)
	put(header)
	s.marker(0, 0)
	return s.err
}
