package main

import (
	"context"
	"log/slog"

	"dialtone/config"
	"dialtone/dnsserver"
	"dialtone/dnsserver/web"
	"dialtone/phone"
)

// webPage is the page for the people at the desk, if there is to be one.
type webPage struct{ *web.Server }

func listenWeb(ctx context.Context, conf *config.Config, log *slog.Logger) (webPage, error) {
	if !conf.Web.Listen.IsValid() {
		return webPage{}, nil
	}
	s, err := web.Listen(ctx, webOptions(conf.Web, log))
	return webPage{s}, err
}

func webOptions(w config.Web, log *slog.Logger) web.Options {
	return web.Options{
		Listen: w.Listen, Token: w.Token, Hosts: w.Hosts, TLS: w.TLS, Connections: w.Connections, Streams: w.Streams, Logger: log,
		ParseNumber: func(text string) (string, error) {
			n, err := phone.ParseNumber(text)
			return string(n), err
		},
	}
}

// Serve and Close do nothing where there is no page.
func (p webPage) Serve(srv *dnsserver.Server) {
	if p.Server != nil {
		p.Server.Serve(srv)
	}
}

// Close may be called twice.
func (p webPage) Close() {
	if p.Server != nil {
		p.Server.Close()
	}
}
