package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport lists, for every package, those of ours that it may import. An edge that is not here is a
// decision to be taken in ARCHITECTURE.md first.
var mayImport = map[string]string{
	"cmd/dialtone":           "config dnsserver dnsserver/control dnsserver/keys dnsserver/ratelimit dnsserver/tap dnsserver/web phone phone/call update update/acl update/tsig zone/masterfile zone/rr",
	"config":                 "zone/rr",
	"dnsserver":              "dnsserver/answer dnsserver/busiest dnsserver/control dnsserver/keys dnsserver/ratelimit dnsserver/tap dnsserver/transfer dnsserver/udp update update/acl update/sig0 update/tsig zone zone/fair zone/masterfile zone/rr zone/store zone/store/backup",
	"dnsserver/answer":       "dnsserver/ratelimit zone zone/rr",
	"dnsserver/busiest":      "",
	"dnsserver/control":      "",
	"dnsserver/keys":         "dnsserver/control update/tsig zone/rr zone/store",
	"dnsserver/ratelimit":    "",
	"dnsserver/tap":          "",
	"dnsserver/transfer":     "update/tsig zone zone/rr zone/store",
	"dnsserver/udp":          "",
	"dnsserver/web":          "dnsserver dnsserver/control dnsserver/keys",
	"integration":            "integration/peertest",
	"integration/bench":      "integration/bench/load",
	"integration/bench/load": "",
	"integration/flood":      "integration/bench/load",
	"integration/hard":       "integration/peertest",
	"integration/linear":     "",
	"integration/peertest":   "zone/rr",
	"integration/soak":       "",
	"integration/stage":      "integration/peertest",
	"integration/web":        "integration/peertest",
	"phone":                  "",
	"phone/call":             "phone",
	"update":                 "update/acl zone/rr",
	"update/acl":             "zone/rr",
	"update/sig0":            "zone/rr",
	"update/tsig":            "zone/rr",
	"zone":                   "zone/fair zone/rr zone/store zone/table",
	"zone/fair":              "",
	"zone/masterfile":        "zone/rr",
	"zone/rr":                "",
	"zone/store":             "zone/rr zone/store/backup zone/store/files",
	"zone/store/backup":      "",
	"zone/store/files":       "",
	"zone/table":             "",
	"zone/zonetest":          "zone zone/rr zone/store",
}

// onlyIn lists imports that belong to one room.
var onlyIn = map[string][]string{
	"github.com/dgraph-io/badger/v4": {"zone/store"},
	"charm.land/bubbletea/v2":        {"cmd/dialtone"},
	"github.com/spf13/viper":         {"config"},
	"github.com/spf13/cobra":         {"cmd/dialtone"},
	"go.yaml.in/yaml/v3":             {"config"},
	"unsafe":                         {"dnsserver/udp", "integration/bench/load", "zone/store", "zone/table"},
	"net/http/pprof":                 {},
	"log":                            {},
}

// testOnly packages are imported by tests alone.
var testOnly = []string{"zone/zonetest", "integration/linear", "integration/peertest", "integration/stage"}

// largest is the number of lines that a file may have.
const largest = 600

// source is one Go file of ours.
type source struct {
	dir, name string // from the top
	file      *ast.File
	fset      *token.FileSet
	lines     int
}

func (s *source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

func (s *source) at(p token.Pos) string {
	return path.Join(s.dir, s.name) + ":" + strconv.Itoa(s.fset.Position(p).Line)
}

func sources(t *testing.T) []*source {
	t.Helper()
	var all []*source
	top := ".."
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != top && strings.HasPrefix(d.Name(), ".") || d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		s := &source{fset: token.NewFileSet(), name: d.Name(), lines: strings.Count(string(text), "\n")}
		dir, err := filepath.Rel(top, filepath.Dir(p))
		if err != nil {
			return err
		}
		s.dir = filepath.ToSlash(dir)
		if s.file, err = parser.ParseFile(s.fset, p, text, parser.ParseComments); err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d files only", len(all))
	}
	return all
}

func TestImportsGoOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		allowed, known := mayImport[s.dir]
		if !known {
			t.Errorf("%s: no line in mayImport", s.dir)
		}
		seen[s.dir] = true
		for _, spec := range s.file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if rooms, banned := onlyIn[name]; banned && !slices.Contains(rooms, s.dir) && !s.isTest() {
				t.Errorf("%s imports %s, which belongs to %v", s.at(spec.Pos()), name, rooms)
			}
			ours, ok := strings.CutPrefix(name, "dialtone/")
			if !ok || s.isTest() {
				continue
			}
			if !slices.Contains(strings.Fields(allowed), ours) {
				t.Errorf("%s: %s must not import %s", s.at(spec.Pos()), s.dir, ours)
			}
			if slices.Contains(testOnly, ours) && !slices.Contains(testOnly, s.dir) {
				t.Errorf("%s imports %s, which is for tests", s.at(spec.Pos()), ours)
			}
		}
	}
	for dir := range mayImport {
		if !seen[dir] {
			t.Errorf("mayImport has %s, which does not exist", dir)
		}
	}
}

func TestTopLevelFolders(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	rooms := strings.Fields("cmd config dnsserver integration phone update zone bin dialtone-data")
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(rooms, e.Name()) {
			t.Errorf("%s is no room of the design", e.Name())
		}
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	docs := map[string]string{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		docs[s.dir] += s.file.Doc.Text()
	}
	for dir, doc := range docs {
		if len(doc) < 120 {
			t.Errorf("%s: the package comment says too little: what does it own, what must it not do, who may use it?", dir)
		}
	}
}

func TestFilesAreOneSitting(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > largest {
			t.Errorf("%s/%s has %d lines, more than %d", s.dir, s.name, s.lines, largest)
		}
	}
}

// TestTestsTest finds tests that test nothing, are skipped, or wait by sleeping.
func TestTestsTest(t *testing.T) {
	for _, s := range sources(t) {
		if !s.isTest() {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			isTest := strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" || strings.HasPrefix(f.Name.Name, "Fuzz")
			if isTest && f.Recv == nil && len(f.Body.List) == 0 {
				t.Errorf("%s: %s is empty", s.at(f.Pos()), f.Name.Name)
			}
			if strings.HasPrefix(f.Name.Name, "Fuzz") && !calls(f, "Add") && !hasCorpus(s.dir, f.Name.Name) {
				t.Errorf("%s: %s has no seeds", s.at(f.Pos()), f.Name.Name)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			on, _ := sel.X.(*ast.Ident)
			switch {
			case on == nil:
			case on.Name == "t" && strings.HasPrefix(sel.Sel.Name, "Skip"):
				t.Errorf("%s: a test is skipped", s.at(n.Pos()))
			case on.Name == "testing" && sel.Sel.Name == "Short":
				t.Errorf("%s: a test asks how short it may be", s.at(n.Pos()))
			case on.Name == "time" && sel.Sel.Name == "Sleep" && !usesSynctest(s.file):
				t.Errorf("%s: a test sleeps", s.at(n.Pos()))
			}
			return true
		})
	}
}

func calls(f *ast.FuncDecl, method string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == method {
			found = true
		}
		// Seeds may be added by a helper that is handed f.
		if call, ok := n.(*ast.CallExpr); ok && len(f.Type.Params.List) == 1 {
			for _, a := range call.Args {
				if id, ok := a.(*ast.Ident); ok && id.Name == f.Type.Params.List[0].Names[0].Name {
					found = true
				}
			}
		}
		return !found
	})
	return found
}

func hasCorpus(dir, fuzz string) bool {
	files, err := os.ReadDir(filepath.Join("..", dir, "testdata", "fuzz", fuzz))
	return err == nil && len(files) > 0
}

// usesSynctest tells whether time is virtual in a file's tests: there sleeping is how time passes.
func usesSynctest(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
}

var (
	mentionsRFC = regexp.MustCompile(`RFC ?[0-9]+`)
	citation    = regexp.MustCompile(`RFC [0-9]{3,5}(, (sections?|appendix) [0-9A-Z][0-9A-Za-z.]*)?`)
	wrongForm   = regexp.MustCompile(`RFC[0-9]|RFC [0-9]+ (§|section|sec)|RFC [0-9]+,? ?§|RFC [0-9]+, sec\.`)
)

// TestCitationsHaveOneForm: "RFC 2136, section 3.4.2.2".
func TestCitationsHaveOneForm(t *testing.T) {
	count := 0
	for _, s := range sources(t) {
		if s.name == "policy_test.go" {
			continue
		}
		for _, g := range s.file.Comments {
			text := strings.Join(strings.Fields(g.Text()), " ")
			count += len(mentionsRFC.FindAllString(text, -1))
			if bad := wrongForm.FindString(text); bad != "" {
				t.Errorf("%s: %q: write \"RFC 2136, section 3.4.2.2\"", s.at(g.Pos()), bad)
			}
			for _, m := range mentionsRFC.FindAllString(text, -1) {
				if !citation.MatchString(m) {
					t.Errorf("%s: %q is no citation", s.at(g.Pos()), m)
				}
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d citations found", count)
	}
}
