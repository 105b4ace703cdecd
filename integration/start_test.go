package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// TestMistakesAreToldOnStart wants exit code 2 and a message that names what is wrong: all faults of a configuration in one go.
func TestMistakesAreToldOnStart(t *testing.T) {
	const zone = "zones:\n  - {name: phones.example., file: DIR/zone.db}\n"
	const listen = "listen: [\"127.0.0.1:PORT\"]\n"
	for _, c := range []struct {
		name, config string
		files        map[string]string
		want         []string
	}{
		{"several faults", "lisen: []\n" + listen + "data_dir: DIR/data\nkeys:\n  - {name: a.key., algorithm: hmac-sha3, secret: '!'}\n" + zone,
			nil, []string{"dialtone.yaml:1", "lisen", "dialtone.yaml:5", "hmac-sha3", "secret"}},
		{"a key that no rule can find", listen + "data_dir: DIR/data\nkeys:\n  - {name: lonely.key., algorithm: hmac-sha256, secret: " + adminKey.Secret + "}\n" + zone,
			nil, []string{"lonely.key.", "dialtone.yaml:4"}},
		{"a zone file with errors", listen + "data_dir: DIR/data\n" + zone,
			map[string]string{"zone.db": phonesFile + "x A 192.0.2.300\ny CNAME a\ny A 192.0.2.1\n"}, []string{"zone.db:5", "zone.db:7"}},
		{"a zone file that is missing", listen + "data_dir: DIR/data\nzones:\n  - {name: phones.example., file: DIR/none.db}\n", nil, []string{"none.db"}},
		{"a data_dir that is a file", listen + "data_dir: DIR/zone.db\n" + zone, nil, []string{"data_dir", "zone.db"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"zone.db": phonesFile}
			for name, content := range c.files {
				files[name] = content
			}
			wantRefusal(t, peertest.NewDialtone(t, c.config, files), c.want...)
		})
	}
}

// wantRefusal starts a server that must not come up.
func wantRefusal(t *testing.T, server *peertest.Server, want ...string) {
	t.Helper()
	log, code := server.Refuses(t)
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, w := range want {
		if !strings.Contains(log, w) {
			t.Errorf("the message does not mention %q:\n%s", w, log)
		}
	}
	if strings.Contains(log, "goroutine ") {
		t.Errorf("a panic:\n%s", log)
	}
}

// TestTwoServersCannotShare starts a second server on the address, then on the data directory of a first one.
func TestTwoServersCannotShare(t *testing.T) {
	files := map[string]string{peertest.ZoneFile(phones): phonesFile}
	first := peertest.Dialtone(t, phones, openConfig(phones), files)
	sameAddress := strings.ReplaceAll(openConfig(phones), "127.0.0.1:PORT", first.Addr)
	wantRefusal(t, peertest.NewDialtone(t, sameAddress, files), first.Addr, "in use")
	data := filepath.Join(first.Dir, "data")
	sameData := strings.ReplaceAll(openConfig(phones), "DIR/data", data)
	wantRefusal(t, peertest.NewDialtone(t, sameData, files), data)
	wantLookups(t, first.Port, "5550000."+phones, "192.0.2.100")
}

// TestFiveHundredZonesLoadWithinTenSeconds measures from the start of the program to an answer from every zone, from master files and
// again from the store.
func TestFiveHundredZonesLoadWithinTenSeconds(t *testing.T) {
	files := map[string]string{}
	var zones []string
	for i := range 500 {
		zone := fmt.Sprintf("z%d.example.", i)
		zones = append(zones, zone)
		files[peertest.ZoneFile(zone)] = phonesFile
	}
	begin := time.Now()
	server := peertest.Dialtone(t, zones[0], openConfig(zones...), files)
	loaded := func(from string) {
		for _, zone := range zones {
			if _, err := peertest.Serial(server.Addr, zone); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("500 zones from %s took %v", from, took)
		} else {
			t.Logf("500 zones from %s took %v", from, took)
		}
	}
	loaded("master files")
	server.Kill(t)
	begin = time.Now()
	server.Restart(t)
	loaded("the store")
}

// TestWildcardListenAnswersFromTheAskedAddress uses connected sockets: they take a reply from the address that was asked only.
func TestWildcardListenAnswersFromTheAskedAddress(t *testing.T) {
	config := strings.Replace(openConfig(phones), `"127.0.0.1:PORT"`, `"0.0.0.0:PORT", "[::]:PORT"`, 1)
	server := peertest.Dialtone(t, phones, config, map[string]string{peertest.ZoneFile(phones): phonesFile})
	hosts := []string{"127.0.0.1", "127.0.0.2", "127.9.8.7"}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		hosts = append(hosts, "::1")
	}
	hosts = append(hosts, interfaceAddresses(t)...)
	for _, host := range hosts {
		for _, network := range []string{"udp", "tcp"} {
			client := peertest.NewClient(net.JoinHostPort(host, fmt.Sprint(server.Port)), network, nil)
			q := new(dns.Msg)
			q.SetQuestion("5550000."+phones, dns.TypeA)
			r, err := client.Exchange(q)
			client.Close()
			if err != nil || len(r.Answer) != 1 {
				t.Errorf("%s over %s: %v, %v", host, network, r, err)
			}
		}
	}
}

// interfaceAddresses gives the addresses of this machine that are neither loopback nor bound to a link.
func interfaceAddresses(t *testing.T) []string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			out = append(out, ip.IP.String())
		}
	}
	return out
}
