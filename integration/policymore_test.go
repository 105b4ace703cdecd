package integration

import (
	"go/ast"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modules lists the packages that may import a module of others, tests included. A module that is not here may not be imported
// at all: a dependency is a decision.
var modules = map[string]string{
	"charm.land/bubbletea/v2":             "cmd/dialtone",
	"github.com/creack/pty":               "cmd/dialtone", // in tests
	"golang.org/x/term":                   "cmd/dialtone", // in tests
	"github.com/anishathalye/porcupine":   "integration/linear",
	"github.com/dchest/siphash":           "dnsserver/answer",
	"golang.org/x/time/rate":              "dnsserver phone/call",
	"github.com/chromedp/cdproto":         "integration/web",
	"github.com/chromedp/chromedp":        "integration/web",
	"github.com/dgraph-io/badger/v4":      "zone/store zone/store/files", // of the latter, the formats of its files
	"github.com/dgraph-io/ristretto/v2":   "zone/store",                  // for the buffer that Badger takes
	"github.com/emiago/sipgo":             "phone/call",
	"github.com/coreos/go-systemd/v22":    "cmd/dialtone",
	"github.com/klauspost/compress":       "zone/store/backup",
	"github.com/go-viper/mapstructure/v2": "config",
	"github.com/hanwen/go-fuse/v2":        "zone/store", // in tests: the file system that power cuts are made of
	"github.com/hashicorp/golang-lru/v2":  "dnsserver dnsserver/transfer update/tsig",
	"github.com/mdlayher/netlink":         "phone",
	"github.com/makiuchi-d/gozxing":       "cmd/dialtone", // in tests
	"github.com/mdp/qrterminal/v3":        "cmd/dialtone",
	"github.com/miekg/dns": "cmd/dialtone config dnsserver dnsserver/answer dnsserver/tap dnsserver/transfer integration integration/bench integration/hard" +
		" integration/bench/load integration/flood integration/linear integration/peertest integration/soak phone update update/acl update/sig0 update/tsig zone zone/masterfile zone/rr zone/zonetest",
	"github.com/pion/rtp":                 "phone/call",
	"github.com/pion/sdp/v3":              "phone/call",
	"github.com/dnstap/golang-dnstap":     "dnsserver/tap dnsserver integration", // in the last two in tests
	"github.com/prometheus/client_golang": "dnsserver",
	"github.com/rogpeppe/go-internal":     "cmd/dialtone",
	"github.com/spf13/cobra":              "cmd/dialtone",
	"github.com/spf13/viper":              "config",
	"github.com/zaf/g711":                 "phone/call",
	"go.yaml.in/yaml/v3":                  "config",
	"google.golang.org/protobuf":          "zone/store/files zone/store dnsserver/tap dnsserver", // in which Badger writes its MANIFEST; of dnstap, and tests of it
	"golang.org/x/net":                    "dnsserver dnsserver/udp integration/flood phone/call",
	"golang.org/x/sys":                    "dnsserver/control dnsserver/udp integration/bench/load phone",
	"golang.org/x/tools/txtar":            "dnsserver/answer update",
	"pgregory.net/rapid":                  "dnsserver", // in tests
}

// without lists what a room does without, tests excepted: zones and updates know no sockets, an update is evaluated without
// disk and clock.
var without = map[string]string{
	"dnsserver/answer":    "os",
	"dnsserver/keys":      "net net/http os",
	"dnsserver/ratelimit": "net net/http os",
	"dnsserver/transfer":  "os",
	"update":              "net net/http os time",
	"update/acl":          "net net/http os time",
	"update/sig0":         "net net/http os",
	"update/tsig":         "net net/http os",
	"zone":                "net net/http os",
	"zone/fair":           "net net/http os sync time",
	"zone/masterfile":     "net net/http",
	"zone/rr":             "net net/http os time",
	"zone/store":          "net net/http",
	"zone/store/files":    "net net/http time",
	"zone/table":          "net net/http os time",
}

func TestDependenciesHaveOneHome(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(name, "/")
			switch {
			case first == "dialtone":
			case strings.Contains(first, "."):
				if rooms := roomsOf(name); !slices.Contains(strings.Fields(rooms), s.dir) {
					t.Errorf("%s: %s is for %q", s.at(spec.Pos()), name, rooms)
				}
			case !s.isTest() && slices.Contains(strings.Fields(without[s.dir]), name):
				t.Errorf("%s: %s does without %s", s.at(spec.Pos()), s.dir, name)
			}
		}
	}
}

func roomsOf(name string) string {
	for module, rooms := range modules {
		if name == module || strings.HasPrefix(name, module+"/") {
			return rooms
		}
	}
	return "nobody"
}

// sharedWords are the functions of sync/atomic that work on plain variables. The types of that package make mixed access
// impossible. zone/table is excepted: its slots are words in a slice, read by the million.
var sharedWords = regexp.MustCompile(`^(Add|And|Or|Load|Store|Swap|CompareAndSwap)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)$`)

// commands are the rooms whose main may end the program.
var commands = []string{"cmd/dialtone", "integration/bench", "integration/flood"}

func TestAtomicsAreTypedAndOnlyTheCommandExits(t *testing.T) {
	for _, s := range sources(t) {
		inMain := slices.ContainsFunc(s.file.Decls, func(d ast.Decl) bool {
			f, ok := d.(*ast.FuncDecl)
			return ok && f.Name.Name == "TestMain"
		})
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			on, _ := sel.X.(*ast.Ident)
			switch {
			case on == nil:
			case on.Name == "atomic" && sharedWords.MatchString(sel.Sel.Name) && s.dir != "zone/table":
				t.Errorf("%s: atomic.%s on a plain variable", s.at(n.Pos()), sel.Sel.Name)
			case on.Name == "os" && sel.Sel.Name == "Exit" && !slices.Contains(commands, s.dir) && !inMain:
				t.Errorf("%s: only a command ends the program", s.at(n.Pos()))
			}
			return true
		})
	}
}

// TestEveryTestCanFail wants each test to report by its testing.T somewhere, or to hand it to what does.
func TestEveryTestCanFail(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !s.isTest() || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
				continue
			}
			if params := f.Type.Params.List; len(params) == 1 && len(params[0].Names) == 1 && !reports(f, params[0].Names[0].Name) {
				t.Errorf("%s: %s cannot fail", s.at(f.Pos()), f.Name.Name)
			}
		}
	}
}

func reports(f *ast.FuncDecl, param string) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
			on, _ := sel.X.(*ast.Ident)
			found = found || on != nil && len(on.Name) <= 2 &&
				slices.Contains([]string{"Error", "Errorf", "Fatal", "Fatalf", "Fail", "FailNow"}, sel.Sel.Name)
		}
		for _, a := range call.Args {
			id, ok := a.(*ast.Ident)
			found = found || ok && id.Name == param
		}
		return true
	})
	return found
}
