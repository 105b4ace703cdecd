package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"dialtone/phone"
)

// enumWay is a URI, and where it leads if it is that of a number in the zone.
type enumWay struct {
	phone.URI
	location *phone.Location
	fault    error
}

// lookupENUM fails only when no URI is of use: what is not of the zone may be,
// for what it is good for is for others to find out.
func (f *lookupFlags) lookupENUM(ctx context.Context, r *phone.Resolver, number string, w io.Writer) error {
	suffix := f.suffix
	if suffix == "" {
		suffix = "e164." + strings.TrimPrefix(f.zone, ".")
	}
	e, err := r.LookupENUM(ctx, number, suffix)
	if err != nil {
		return withCode(err)
	}
	ways := make([]enumWay, len(e.URIs))
	var fault error
	useful := false
	for i, u := range e.URIs {
		ways[i].URI = u
		if n, ok := r.NumberOf(u.Text); ok {
			ways[i].locate(ctx, r, n)
		}
		if ways[i].fault != nil {
			fault = ways[i].fault
		} else {
			useful = true
		}
	}
	if f.json {
		err = printENUMJSON(w, e, ways)
	} else {
		err = printENUM(w, ways)
	}
	if err == nil && !useful {
		err = withCode(fault)
	}
	return err
}

func (way *enumWay) locate(ctx context.Context, r *phone.Resolver, n phone.Number) {
	l, err := r.Locate(ctx, n)
	if err != nil {
		way.fault = err
		return
	}
	for i := range l.Contacts {
		l.Contacts[i].TTL = min(l.Contacts[i].TTL, way.TTL)
	}
	way.location = l
}

func printENUM(w io.Writer, ways []enumWay) error {
	var b strings.Builder
	for _, way := range ways {
		fmt.Fprintf(&b, "%s (%s), for %s\n", way.Text, strings.Join(way.Services, ", "), way.TTL)
		switch {
		case way.location != nil:
			for _, c := range way.location.Contacts {
				fmt.Fprintf(&b, "  %s %s, for %s\n", c.Transport, c.Addr, c.TTL)
			}
		case errors.Is(way.fault, phone.ErrNotRegistered):
			fmt.Fprintf(&b, "  not registered\n")
		case way.fault != nil:
			fmt.Fprintf(&b, "  %v\n", way.fault)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printENUMJSON(w io.Writer, e *phone.ENUM, ways []enumWay) error {
	type uri struct {
		URI      string        `json:"uri"`
		Services []string      `json:"services"`
		TTL      int           `json:"ttl"` // seconds
		Name     string        `json:"name,omitempty"`
		Contacts []contactJSON `json:"contacts,omitempty"`
		Error    string        `json:"error,omitempty"`
	}
	out := struct {
		Number phone.Number `json:"number"`
		Name   string       `json:"name"`
		URIs   []uri        `json:"uris"`
	}{e.Number, e.Name, nil}
	for _, way := range ways {
		u := uri{URI: way.Text, Services: way.Services, TTL: int(way.TTL.Seconds())}
		if way.location != nil {
			u.Name, u.Contacts = way.location.Name, contactsJSON(way.location)
		}
		if way.fault != nil {
			u.Error = way.fault.Error()
		}
		out.URIs = append(out.URIs, u)
	}
	return printJSON(w, out)
}
