package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"dialtone/config"
	"dialtone/dnsserver/keys"
	"dialtone/phone"
)

func keyShowCommand() *cobra.Command {
	var f keyFlags
	var server string
	var qr, asJSON bool
	c := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Print the key of a number, how to use it, and a QR code for its phone",
		Long: `Print the key of a number as nsupdate -k and dialtone register --key-file want it, with
what to do with it in comments. On a terminal, a QR code follows, which holds the same as
dialtone://ZONE/NUMBER?algorithm=...&secret=...&server=...` + keyHelp,
		Example: `  dialtone key show 5551234 --config /etc/dialtone/dialtone.yaml
  dialtone key show 5551234 --config /etc/dialtone/dialtone.yaml > 5551234.key`,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			return f.askAbout(c, args[0], keys.RequestShow, func(zone, number string) any {
				return keys.Show{Zone: zone, Number: number}
			}, func(conf *config.Config, i keys.Info) error {
				k, err := clause(i)
				if err != nil {
					return err
				}
				out := c.OutOrStdout()
				s := shown{i, k, phone.Provisioning{Zone: i.Zone, Number: phone.Number(i.Number), Key: k, Server: server}}
				if server == "" {
					s.Server = serverOf(conf)
				}
				if asJSON {
					return printJSON(out, struct {
						keys.Info
						URI string `json:"uri"`
					}{i, s.String()})
				}
				terminal := isTerminal(out)
				return s.print(out, terminal, qr || terminal && !c.Flags().Changed("qr"))
			})
		},
	}
	f.flags(c)
	c.Flags().StringVarP(&server, "server", "s", "", "address of the server as the phone reaches it; without it, the first that the configuration listens on, unless that is all of them")
	c.Flags().BoolVar(&qr, "qr", false, "draw the QR code also where there is no terminal; --qr=false: never")
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON")
	return c
}

// serverOf is an address that phones may reach the server by; "" when the
// configuration names none.
func serverOf(conf *config.Config) string {
	for _, a := range conf.Listen {
		if !a.Addr().IsUnspecified() {
			return a.String()
		}
	}
	return ""
}

// shown is a key with what to do with it.
type shown struct {
	keys.Info
	key *phone.Key
	phone.Provisioning
}

func (s shown) String() string { return s.Provisioning.String() }

func (s shown) print(w io.Writer, terminal, qr bool) error {
	var b bytes.Buffer
	name, file := s.key.Name, s.Info.Number+".key"
	fmt.Fprintf(&b, "# The key of %s in %s (%s). Who has it can register the number.\n%s", s.Info.Number, s.Info.Zone, s.kind(), s.key.Clause())
	at := ""
	if s.Server != "" {
		at = " --server " + s.Server
	}
	fmt.Fprintf(&b, "# With this in %[1]s, the phone registers by\n#   dialtone register %[2]s --zone %[3]s --key-file %[1]s%[4]s\n# or by nsupdate -k %[1]s:\n",
		file, s.Info.Number, s.Info.Zone, at)
	if s.Server != "" {
		fmt.Fprintf(&b, "#   server %s\n", strings.Join(hostAndPort(s.Server), " "))
	}
	fmt.Fprintf(&b, "#   zone %s\n#   update delete %s A\n#   update add %s 60 A 192.0.2.17\n#   send\n", s.Info.Zone, name, name)
	if qr {
		fmt.Fprintf(&b, "# %s\n", s)
		drawQR(&b, s.String(), terminal)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (s shown) kind() string {
	switch s.Kind {
	case keys.KindDerived:
		return fmt.Sprintf("derived, generation %d", s.Generation)
	case keys.KindKept:
		return "kept in the data directory"
	}
	return string(s.Kind)
}

// hostAndPort takes an address apart as nsupdate wants it.
func hostAndPort(server string) []string {
	if a, err := netip.ParseAddrPort(server); err == nil {
		return []string{a.Addr().String(), strconv.Itoa(int(a.Port()))}
	}
	if host, port, err := net.SplitHostPort(server); err == nil {
		return []string{host, port}
	}
	return []string{server}
}

// drawQR draws text as comments, two modules a character. White is in the
// terminal's foreground, so on a terminal the colours are set.
func drawQR(w io.Writer, text string, terminal bool) {
	var b bytes.Buffer
	qrterminal.GenerateHalfBlock(text, qrterminal.M, &b)
	before, after := "", ""
	if terminal {
		before, after = "\x1b[97;40m", "\x1b[0m"
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprintf(w, "# %s%s%s\n", before, strings.TrimSuffix(line, "\n"), after)
	}
}
