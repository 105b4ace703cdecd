package phone_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"dialtone/phone"
)

const key = "hmac-sha256:5551234.phones.example.:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func ExampleRegister() {
	server, stop := phone.FakeServer("") // instead of 192.0.2.53
	defer stop()

	number, err := phone.ParseNumber("555-1234")
	if err != nil {
		fmt.Println(err)
		return
	}
	k, err := phone.ParseKey(key) // or ReadKey, from a file
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := phone.Register(context.Background(), phone.Registration{
		Number:    number,
		Zone:      "phones.example",
		Servers:   []string{server}, // without it, the one that the zone's SOA record names
		Key:       k,
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.17")}, // without it, the one from which the server is reached
		SIPPort:   5060,
		Lease:     time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(done.Name, "is at", done.Addresses[0], "for", done.Lease)
	// Output: 5551234.phones.example. is at 192.0.2.17 for 30m0s
}

func ExampleAgent() {
	server, stop := phone.FakeServer("")
	defer stop()

	k, err := phone.ParseKey(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, hangUp := context.WithCancel(context.Background())
	agent := &phone.Agent{
		Registration: phone.Registration{Number: "5551234", Zone: "phones.example", Servers: []string{server}, Key: k, Lease: time.Hour},
		Notify: func(e phone.Event) {
			switch e.State {
			case phone.StateRegistered:
				fmt.Println("registered at", e.Done.Addresses[0], "for", e.Done.Lease)
				hangUp() // a phone goes on
			case phone.StateWithdrawn:
				fmt.Println("registered no more")
			default:
				fmt.Println(e.State, e.Err)
			}
		},
	}
	if err := agent.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// registered at 127.0.0.1 for 30m0s
	// registered no more
}

func ExampleResolver() {
	server, stop := phone.FakeServer("5551234 A 192.0.2.17\n_sip._udp.5551234 SRV 0 0 5070 5551234\n")
	defer stop()

	r := &phone.Resolver{Zone: "phones.example", Servers: []string{server}} // without servers, those of the system
	for _, text := range []string{"555-1234", "555-9999"} {
		number, err := phone.ParseNumber(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		l, err := r.Locate(context.Background(), number)
		if errors.Is(err, phone.ErrNotRegistered) {
			fmt.Println(number, "is not registered")
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, c := range l.Contacts {
			fmt.Println(number, "is reached by", c.Transport, "at", c.Addr, "for", c.TTL)
		}
	}
	// Output:
	// 5551234 is reached by udp at 192.0.2.17:5070 for 1m0s
	// 5559999 is not registered
}
