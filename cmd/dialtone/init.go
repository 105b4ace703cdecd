package main

import (
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/spf13/cobra"

	"dialtone/zone/rr"
)

//go:embed init.yaml
var initYAML string

// initConfig is what init.yaml is filled with.
type initConfig struct {
	Zone, File, ZoneFile, DataDir    string
	ServerID, Cookie                 string
	AdminName, AdminKey, AdminSecret string
	TransferName, TransferSecret     string
	Secondary                        string // file
	Seed                             string
	Listen                           []string
	Secondaries                      []netip.Addr
	Notify                           []netip.AddrPort
	nameServers                      []nameServer
	apex                             rr.Name
	gid                              int // of the server that is to read the files; -1: that of whoever runs init
}

// nameServer is what --ns says.
type nameServer struct {
	name  rr.Name
	addrs []netip.Addr
}

func initCommand() *cobra.Command {
	var zone, dataDir, group string
	var listen, servers []string
	c := &cobra.Command{
		Use:   "init DIR --zone ZONE --ns NAME=ADDRESS",
		Short: "Write a configuration and a zone to begin with",
		Long: `Write a commented configuration, a zone file and fresh secrets into a directory, which is
made if need be. No file that is there already is written over. The first --ns is this
server, others are secondaries: they may copy the zone and are told of changes.

A server that runs as a user of its own reads the files by its group (--group). The
operator's own key, admin.key, stays with whoever gave the command.`,
		Example: `  dialtone init /etc/dialtone --zone phones.example --ns ns1=192.0.2.53 --ns ns2=198.51.100.53,2001:db8::53
  dialtone init /etc/dialtone --data-dir /var/lib/dialtone --group dialtone --zone phones.example --ns ns1=192.0.2.53`,
		Args: exactly("DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := newInit(zone, listen, servers)
			if err != nil {
				return usage(c, err.Error())
			}
			if conf.gid, err = groupID(group); err != nil {
				return usage(c, err.Error())
			}
			conf.DataDir = dataDir
			return conf.write(args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&dataDir, "data-dir", "data", "directory of the store, relative to DIR")
	f.StringVar(&group, "group", "", "group as which the server reads the files (default that of the user who gives the command)")
	f.StringVarP(&zone, "zone", "z", "", "the zone of the numbers, such as phones.example")
	f.StringArrayVar(&servers, "ns", nil, "a name server and its addresses, as ns1=192.0.2.53,2001:db8::53; this one first")
	f.StringSliceVarP(&listen, "listen", "l", []string{"0.0.0.0:53", "[::]:53"}, "addresses and ports to serve on")
	return c
}

func newInit(zone string, listen, servers []string) (*initConfig, error) {
	if zone == "" {
		return nil, errors.New("--zone is missing: name the zone of the numbers, as --zone phones.example")
	}
	apex, err := rr.ParseName(zone)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--zone: %w", err)
	case apex == rr.Root:
		return nil, errors.New("--zone: numbers need a zone of their own, not the root")
	case len(servers) == 0:
		return nil, errors.New("--ns is missing: name this server as others see it, as --ns ns1=192.0.2.53")
	}
	conf := &initConfig{Zone: apex.String(), Listen: listen, apex: apex}
	for _, text := range servers {
		ns, err := parseNameServer(text, apex)
		if err != nil {
			return nil, fmt.Errorf("--ns %s: %w", text, err)
		}
		if len(conf.nameServers) > 0 {
			for _, a := range ns.addrs {
				conf.Secondaries = append(conf.Secondaries, a)
				conf.Notify = append(conf.Notify, netip.AddrPortFrom(a, 53))
			}
		}
		conf.nameServers = append(conf.nameServers, ns)
	}
	// The names of files are plain, whatever octets the zone's name has.
	base := strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || c <= ' ' || c > '~' {
			return '_'
		}
		return c
	}, strings.TrimSuffix(conf.Zone, "."))
	conf.File, conf.ZoneFile = "dialtone.yaml", base+".zone"
	conf.AdminName, conf.AdminKey, conf.AdminSecret = "admin.key.", "admin.key", "admin.secret"
	conf.TransferName, conf.TransferSecret, conf.Secondary = "transfer.key.", "transfer.secret", "secondary.nsd.conf"
	conf.Seed = base + ".seed"
	conf.ServerID = strings.TrimSuffix(conf.nameServers[0].name.String(), ".")
	return conf, nil
}

func parseNameServer(text string, apex rr.Name) (ns nameServer, err error) {
	name, list, ok := strings.Cut(text, "=")
	if !ok {
		return ns, errors.New("write it as ns1=192.0.2.53, with several addresses as ns1=192.0.2.53,2001:db8::53")
	}
	if ns.name, err = rr.ParseNameIn(name, apex); err != nil {
		return ns, err
	}
	for _, word := range strings.Split(list, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(word))
		if err != nil || a.Zone() != "" || a.IsUnspecified() {
			return ns, fmt.Errorf("%q is no address that others can reach", word)
		}
		ns.addrs = append(ns.addrs, a.Unmap())
	}
	return ns, nil
}

// zoneText is the zone with nothing but what it must have.
func (c *initConfig) zoneText() string {
	var b strings.Builder
	primary := c.nameServers[0].name
	fmt.Fprintf(&b, "; %s at its first start. Numbers come by updates; what they make is in the data directory, not here.\n$TTL 60\n", c.Zone)
	fmt.Fprintf(&b, "%s SOA %s hostmaster.%s 1 3600 900 604800 30\n", c.Zone, primary, c.Zone)
	for _, ns := range c.nameServers {
		fmt.Fprintf(&b, "%s NS %s\n", c.Zone, ns.name)
	}
	for _, ns := range c.nameServers {
		if !ns.name.IsBelowOrEqual(c.apex) {
			continue // its addresses are in another zone
		}
		for _, a := range ns.addrs {
			t := "A"
			if a.Is6() {
				t = "AAAA"
			}
			fmt.Fprintf(&b, "%s %s %s\n", ns.name, t, a)
		}
	}
	b.WriteString(c.enumText())
	return b.String()
}

// enumText is the rule that makes ENUM (RFC 6116) of the zone: one record for
// all numbers. It is part of the zone, so it needs no delegation, and secondaries
// have it, too. Below e164 there is nothing else, so it is for names of any number
// of labels (RFC 4592, section 3.3.1); no number is called e164.
//
// It works at once, for nobody sees it who does not ask for that suffix. Only in
// a zone whose name cannot stand in a SIP URI, or leaves no room for the digits
// of a number, there is none.
func (c *initConfig) enumText() string {
	zone := strings.TrimSuffix(c.Zone, ".")
	if !hostName.MatchString(zone) || len(zone) > maxENUMZone {
		return ""
	}
	return fmt.Sprintf(`
; ENUM: whoever looks up +442079460148 below e164.%[1]s finds sip:442079460148@442079460148.%[1]s.
; Are only some numbers yours? Then say which in place of (.*), as (4420.*): others do not match, and are not found.
; Nothing else may be below e164.%[1]s: a name there would take this rule from the numbers that share its digits.
*.e164.%[1]s. 3600 NAPTR 100 10 "u" "E2U+sip" "!^\\+?(.*)$!sip:\\1@\\1.%[1]s!" .
`, zone)
}

// secondaryText is what a secondary that is NSD needs of its configuration.
func (c *initConfig) secondaryText(secret string) string {
	zone, key := strings.TrimSuffix(c.Zone, "."), strings.TrimSuffix(c.TransferName, ".")
	var b strings.Builder
	fmt.Fprintf(&b, "# %s on a secondary that is NSD: a file in /etc/nsd/nsd.conf.d. It holds a secret.\n", c.Zone)
	fmt.Fprintf(&b, "key:\n    name: %q\n    algorithm: hmac-sha256\n    secret: %q\n", key, secret)
	fmt.Fprintf(&b, "zone:\n    name: %q\n    zonefile: \"%s.zone\"\n", zone, strings.TrimSuffix(c.ZoneFile, ".zone"))
	for _, a := range c.nameServers[0].addrs {
		fmt.Fprintf(&b, "    request-xfr: %s@%d %s\n    allow-notify: %s %s\n", a, c.port(a), key, a, key)
	}
	return b.String()
}

// hostName is what can stand in a URI as it is.
var hostName = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)

// maxENUMZone leaves room for e164 and 15 digits in a name of 255 octets. The
// expression, a string of 255, has more.
const maxENUMZone = 215

// write makes all files, none of which is there already, and checks them. It
// leaves none when there are faults: the corrected command is not to find them.
func (c *initConfig) write(dir string, stdout, stderr io.Writer) (err error) {
	secret, transfer, seed, cookie := make([]byte, 32), make([]byte, 32), make([]byte, 32), make([]byte, 16)
	for _, fresh := range [][]byte{secret, transfer, seed, cookie} {
		rand.Read(fresh) // never fails
	}
	text := base64.StdEncoding.EncodeToString(secret)
	c.Cookie = `"` + hex.EncodeToString(cookie) + `"`
	var yaml strings.Builder
	if err := template.Must(template.New("init").Parse(initYAML)).Execute(&yaml, c); err != nil {
		return err
	}
	secretMode := fs.FileMode(0o600)
	if c.gid >= 0 {
		secretMode = 0o640
	}
	files := []newFile{
		{c.File, yaml.String(), 0o640, c.gid}, // it has the cookies' secret
		{c.ZoneFile, c.zoneText(), 0o644, c.gid},
		{c.AdminKey, fmt.Sprintf("key %q {\n\talgorithm hmac-sha256;\n\tsecret %q;\n};\n", strings.TrimSuffix(c.AdminName, "."), text), 0o600, -1},
		{c.AdminSecret, text + "\n", secretMode, c.gid},
		{c.Seed, base64.StdEncoding.EncodeToString(seed) + "\n", secretMode, c.gid},
	}
	if len(c.Secondaries) > 0 {
		text := base64.StdEncoding.EncodeToString(transfer)
		files = append(files, newFile{c.TransferSecret, text + "\n", secretMode, c.gid}, newFile{c.Secondary, c.secondaryText(text), 0o600, -1})
	}
	if err := c.makeDir(dir); err != nil {
		return err
	}
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.name)); err == nil {
			return &userError{[]string{fmt.Sprintf("%s is there already: name another directory, or remove it", filepath.Join(dir, f.name))}}
		}
	}
	conf := filepath.Join(dir, c.File)
	var made []string
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err = f.write(path); err != nil {
			break
		}
		made = append(made, path)
	}
	if err == nil {
		err = checkConfig(conf, stdout, stderr)
	}
	if err != nil {
		for _, path := range made {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nServe it:\t%s serve --config %s\n", os.Args[0], conf)
	fmt.Fprintf(w, "A phone's key:\t%s key show 5551234 --config %s > 5551234.key\n", os.Args[0], conf)
	fmt.Fprintf(w, "Register a number:\t%s register 5551234 --zone %s --server %s --key-file 5551234.key\n", os.Args[0], c.Zone, c.server())
	if len(c.Secondaries) > 0 {
		fmt.Fprintf(w, "A secondary, if NSD:\t%s, put into its /etc/nsd/nsd.conf.d\n", filepath.Join(dir, c.Secondary))
	}
	return w.Flush()
}

// server is this server as register wants it, with the port that it has there.
// It is for addresses to listen on that were checked.
func (c *initConfig) server() string {
	addr := c.nameServers[0].addrs[0]
	if port := c.port(addr); port != 53 {
		return netip.AddrPortFrom(addr, port).String()
	}
	return addr.String()
}

// port is where this server is to be reached at one of its addresses.
func (c *initConfig) port(addr netip.Addr) uint16 {
	port := uint16(53)
	for i, text := range c.Listen {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			continue
		}
		if i == 0 {
			port = a.Port() // behind NAT, or of the other family
		}
		if a.Addr() == addr || a.Addr().IsUnspecified() && a.Addr().Is4() == addr.Is4() {
			return a.Port()
		}
	}
	return port
}

// makeDir makes dir if need be, for the server's group to read.
func (c *initConfig) makeDir(dir string) error {
	_, err := os.Stat(dir)
	if err == nil {
		return nil // as it is: it may hold more
	}
	if err := os.MkdirAll(dir, 0o750); err != nil || c.gid < 0 {
		return err
	}
	return os.Chown(dir, -1, c.gid)
}

// newFile is one that init writes.
type newFile struct {
	name, text string
	mode       fs.FileMode
	gid        int // its group; -1: none in particular
}

// write leaves no file when it fails.
func (n newFile) write(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, n.mode)
	if err != nil {
		return err
	}
	if n.gid >= 0 { // before there is anything to read
		err = f.Chown(-1, n.gid)
	}
	if err == nil {
		_, err = f.WriteString(n.text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// groupID is the number of a group; -1 for no name.
func groupID(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, fmt.Errorf("--group: there is no group %s on this machine", name)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1, fmt.Errorf("--group: group %s has the number %q, which cannot be used", name, g.Gid)
	}
	return gid, nil
}
