package phone

import (
	"context"
	"errors"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// watchAddresses tells when addresses, routes or links of this machine change,
// until ctx ends. It may tell too often. Where the kernel does not tell, as on
// some phones, nothing comes.
func watchAddresses(ctx context.Context) <-chan struct{} {
	changes := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			if listen(ctx, changes) != nil {
				select {
				case <-ctx.Done():
				case <-time.After(beatTime):
				}
			}
		}
	}()
	return changes
}

// listen passes on what the kernel tells, until it can no more.
func listen(ctx context.Context, changes chan<- struct{}) error {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	for _, group := range []uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE,
	} {
		if err := c.JoinGroup(group); err != nil {
			return err
		}
	}
	for {
		// Here, too, before the first message: what changed until now was not told.
		// What a message says is not read, for the addresses are looked at anyway.
		select {
		case changes <- struct{}{}:
		default:
		}
		// Without room to tell all (ENOBUFS) the kernel tells that something was lost.
		if _, err := c.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}
