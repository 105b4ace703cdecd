package call_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"time"

	"dialtone/phone"
	"dialtone/phone/call"
)

// somewhere is where a number is; programs ask a phone.Resolver.
type somewhere netip.AddrPort

func (s somewhere) Locate(_ context.Context, n phone.Number) (*phone.Location, error) {
	return &phone.Location{Number: n, Name: n.Name("phones.example."), Contacts: []phone.Contact{
		{Transport: "udp", Addr: netip.AddrPort(s), TTL: time.Minute},
	}}, nil
}

// One phone answers, and another calls it.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	answerer := &call.Answerer{Number: "5551234", Listen: "127.0.0.1:0"}
	if err := answerer.Open(); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- answerer.Run(ctx) }()

	caller := &call.Caller{
		Locator: somewhere(answerer.Addr()), // &phone.Resolver{Zone: "phones.example."}
		Report: func(e call.Event) {
			if e.Kind == call.Answered || e.Kind == call.HungUp {
				fmt.Println(e.Number, e.Kind)
			}
		},
	}
	if err := caller.Ring(ctx, "5551234", call.Talk{For: 20 * time.Millisecond}); err != nil {
		log.Fatal(err)
	}
	stop()
	fmt.Println(<-ended)
	// Output:
	// 5551234 answered
	// 5551234 hung up
	// <nil>
}
