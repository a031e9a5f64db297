//go:build unix

package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy simulates a distant server: it delays every packet to a local server, so TCP and TLS
// handshakes take as long as to a real org.
type proxy struct {
	target    string
	roundTrip time.Duration
	listener  net.Listener
	accepted  atomic.Int64

	mu    sync.Mutex
	conns []net.Conn
}

// newProxy starts a proxy on the loopback for the server at target.
func newProxy(target string, roundTrip time.Duration) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{target: target, roundTrip: roundTrip, listener: listener}
	go p.serve()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// connections returns the number of connections opened so far.
func (p *proxy) connections() int { return int(p.accepted.Load()) }

// close stops the proxy and closes all its connections.
func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		// The kernel has already completed the TCP handshake. On a real network the client
		// could send its first byte only one round trip later.
		open := time.Now().Add(p.roundTrip)
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		go p.carry(server, client, open)
		go p.carry(client, server, open)
	}
}

// packet is the data of one read, with its arrival time.
type packet struct {
	data    []byte
	arrives time.Time
}

// carry copies one direction of a connection. It sends nothing before the connection is open.
func (p *proxy) carry(to, from net.Conn, open time.Time) {
	packets := make(chan packet, 1024)
	go func() {
		defer close(packets)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			leaves := time.Now()
			if leaves.Before(open) {
				leaves = open
			}
			if n > 0 {
				packets <- packet{buffer[:n], leaves.Add(p.roundTrip / 2)}
			}
			if err != nil {
				return
			}
		}
	}()
	for next := range packets {
		time.Sleep(time.Until(next.arrives))
		if _, err := to.Write(next.data); err != nil {
			break
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	for range packets {
	}
	io.Copy(io.Discard, from)
}
