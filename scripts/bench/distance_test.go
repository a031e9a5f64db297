//go:build unix

package main

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestRoundTrips: opening a connection takes a round trip, and each question another.
func TestRoundTrips(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept()
		if err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	const roundTrip = 60 * time.Millisecond
	proxy, err := newProxy(server.Addr().String(), roundTrip)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.close()
	started := time.Now()
	conn, err := net.Dial("tcp", proxy.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for n := 2; n <= 4; n++ {
		if _, err := conn.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took < time.Duration(n)*roundTrip {
			t.Errorf("%d round trips took %s, want %s at least", n, took, time.Duration(n)*roundTrip)
		}
	}
	if proxy.connections() != 1 {
		t.Errorf("%d connections were opened, want 1", proxy.connections())
	}
}
