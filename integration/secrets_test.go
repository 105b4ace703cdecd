package integration

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// The secrets of the run. The last octets of each are its own, so that none is part of another's text by chance.
const (
	secretKey    = "dGhlIHNoYXJlZCBzZWNyZXQgb2YgdGhlIGFkbWluMTE=" // of a key
	secretFile   = "dGhlIHNlY3JldCB0aGF0IHN0YW5kcyBpbiBhIGZpbGU=" // of another, in a file
	secretSeed   = "dGhlIHNlZWQgb2YgYWxsIHBob25lcycgc2VjcmV0czM=" // of the keys of numbers
	secretCookie = "6b0f3a77c1d94e52a8b3915fe07d2c46"             // of cookies
	secretToken  = "login-token-of-the-desk-5f1d"                 // of the page for the desk
)

const secretsConfig = `listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
cookie_secrets: [` + secretCookie + `]
keys:
  - {name: admin.key., algorithm: hmac-sha256, secret: "` + secretKey + `"}
  - {name: file.key., algorithm: hmac-sha256, secret_file: DIR/file.secret}
zones:
  - name: phones.example.
    file: DIR/zone.db
    derived_keys: {seed_file: DIR/seed}
    acl:
      - {key: [admin.key., file.key.], action: [update, transfer]}
      - {key: "*", action: update, self_number: true}
metrics: {listen: "127.0.0.1:METRICS"}
web: {listen: "127.0.0.1:WEB", token_file: DIR/token}
log: {level: debug}
`

// forms are those in which a secret could show.
func forms(t *testing.T, text string) []string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		if raw, err = hex.DecodeString(text); err != nil {
			return []string{text, base64.StdEncoding.EncodeToString([]byte(text)), hex.EncodeToString([]byte(text))}
		}
	}
	all := []string{text, string(raw), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), fmt.Sprint(raw),
		base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), url.QueryEscape(text)}
	return slices.Compact(all)
}

// TestSecretsAreNowhereToBeSeen runs a server through all that has to do with secrets, successes and failures, with the log
// at debug, and looks for each secret in whatever others than its owner may see. The files that the server made are its own.
func TestSecretsAreNowhereToBeSeen(t *testing.T) {
	metrics, web := fmt.Sprint(peertest.Port(t)), fmt.Sprint(peertest.Port(t))
	config := strings.NewReplacer("METRICS", metrics, "WEB", web).Replace(secretsConfig)
	s := peertest.Dialtone(t, phones, config, map[string]string{
		"zone.db": phonesFile, "file.secret": secretFile + "\n", "seed": secretSeed + "\n", "token": secretToken + "\n",
	})
	seen := map[string]string{}
	run := func(args ...string) string {
		t.Helper()
		r := peertest.Run(t, s.Dir, "", append([]string{peertest.Binary(t)}, args...)...)
		return r.Stdout + r.Stderr
	}
	conf := filepath.Join(s.Dir, "dialtone.yaml")

	// A phone's key is shown to whoever asks for it on purpose, and to nobody else.
	shown := run("key", "show", "5550001", "--config", conf)
	phone := regexp.MustCompile(`[A-Za-z0-9+/]{43}=`).FindString(shown)
	if phone == "" {
		t.Fatalf("no secret in\n%s", shown)
	}
	useKeys(t, s.Addr, phone)

	for _, args := range [][]string{{"config", "check", conf}, {"status", "--config", conf}, {"key", "list", "--config", conf},
		{"number", "show", "5550001", "--config", conf}, {"reload", "--config", conf}} {
		seen["dialtone "+strings.Join(args, " ")] = run(args...)
	}
	for i, fault := range []string{ // each puts a secret where it does not belong, or writes it wrongly
		strings.Replace(config, "secret: \"", "secret: \"*", 1),
		strings.Replace(config, "name: admin.key., algorithm: hmac-sha256", "name: admin.key., algorithm: hmac-md5", 1),
		strings.Replace(config, "cookie_secrets: [", "cookie_secrets: [0", 1),
		strings.Replace(config, "seed_file: DIR/seed", "seed: \"x"+secretSeed+"\"", 1),
		strings.Replace(config, "secret: \""+secretKey+"\"", "secret: [\""+secretKey+"\"]", 1),
	} {
		path := peertest.Write(t, s.Dir, fmt.Sprintf("bad%d.yaml", i), strings.ReplaceAll(fault, "DIR", s.Dir))
		seen[fmt.Sprintf("config check of fault %d", i)] = run("config", "check", path)
	}
	pages(t, web, seen)
	_, seen["metrics"] = get(t, "http://127.0.0.1:"+metrics+"/metrics")
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.Pid(), name))
		if err != nil {
			t.Fatal(err)
		}
		seen[name] = string(b)
	}
	modes(t, filepath.Join(s.Dir, "data"))
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	seen["the log"] = s.Log()
	if audit, err := os.ReadFile(filepath.Join(s.Dir, "data", "audit.log")); err == nil {
		seen["audit.log"] = string(audit)
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if n := strings.Count(seen["the log"], "\n"); n < 8 || !strings.Contains(seen["the log"], "TSIG refused") {
		t.Errorf("the log is too short to prove anything:\n%s", seen["the log"])
	}
	for name, secret := range map[string]string{"the key's": secretKey, "the file's": secretFile, "the seed": secretSeed,
		"the cookies'": secretCookie, "the token": secretToken, "the phone's": phone} {
		for _, form := range forms(t, secret) {
			for where, text := range seen {
				if strings.Contains(text, form) {
					t.Errorf("%s secret is in %s, as %q", name, where, form)
				}
			}
		}
	}
}

// useKeys signs with each key: well, with another's secret, and too late.
func useKeys(t *testing.T, addr, phone string) {
	t.Helper()
	for name, secret := range map[string]string{"admin.key.": secretKey, "file.key.": secretFile, "5550001." + phones: phone} {
		for _, c := range []struct {
			secret string
			age    time.Duration
			rcode  int
		}{{secret, 0, dns.RcodeSuccess}, {base64.StdEncoding.EncodeToString([]byte(strings.Repeat("wrong", 7))), 0, dns.RcodeNotAuth},
			{secret, time.Hour, dns.RcodeNotAuth}} {
			m := peertest.Register(phones, "5550001."+phones, "192.0.2.7")
			m.SetEdns0(1232, false)
			m.SetTsig(name, dns.HmacSHA256, 300, time.Now().Add(-c.age).Unix())
			client := dns.Client{Net: "tcp", TsigSecret: map[string]string{name: c.secret}}
			r, _, err := client.Exchange(m, addr)
			if r == nil || r.Rcode != c.rcode { // err is set where the reply is not signed
				t.Errorf("%s: want %s: %v, %v", name, dns.RcodeToString[c.rcode], r, err)
			}
		}
	}
}

// pages looks at what the page for the desk says before and after a wrong token.
func pages(t *testing.T, port string, seen map[string]string) {
	t.Helper()
	base := "http://127.0.0.1:" + port
	_, seen["the page"] = get(t, base+"/")
	r, err := http.PostForm(base+"/login", url.Values{"token": {"wrong" + secretToken[5:]}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode == http.StatusOK {
		t.Errorf("a wrong token: %s, %v", r.Status, err)
	}
	seen["the page for a wrong token"] = string(body) + fmt.Sprint(r.Header)
}

// modes wants all that the server made to be for its user alone.
func modes(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %s: others than its user have rights", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 5 {
		t.Errorf("%d files in %s: where are the server's?", files, dir)
	}
}
