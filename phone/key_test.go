package phone

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func TestKeyFiles(t *testing.T) {
	const want = "hmac-sha256:5551234.phones.example."
	file := filepath.Join(t.TempDir(), "key")
	for name, text := range map[string]string{
		"tsig-keygen": "key \"5551234.phones.example\" {\n\talgorithm hmac-sha256;\n\tsecret \"" + secret + "\";\n};\n",
		"comments":    "# key \"other\" { };\n// more\nkey 5551234.phones.example. { secret \"" + secret + "\"; // the secret\n};\n",
		"one line":    "hmac-sha256:5551234.Phones.example:" + secret + "\n",
		"short":       "5551234.phones.example.:" + secret,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := ReadKey(file)
		if err != nil || k.String() != want || k.secret != secret {
			t.Errorf("%s: %v, %v", name, k, err)
			continue
		}
		if shown := fmt.Sprintf("%v %s %#v", k, k, k); strings.Contains(shown, secret) {
			t.Errorf("%s: the secret is in %s", name, shown)
		}
	}
	// A secret may look as if a comment began in it.
	const slashes = "ab//cdef"
	if k, err := parseKey("key k { algorithm hmac-sha1; secret \"" + slashes + "\"; };"); err != nil || k.secret != slashes {
		t.Errorf("%v, %v", k, err)
	}
	for text, why := range map[string]string{
		"":       "no key in it",
		"secret": "no key in it",
		"key k { algorithm hmac-md5; secret \"MTIz\"; };": "hmac-md5",
		"key k { algorithm hmac-sha256; };":               "no secret",
		"k:nobase64!":                                     "base64",
		"hmac-sha256:a..b:MTIz":                           "not a domain name",
		"a:b:c:d":                                         "no key in it",
	} {
		if k, err := parseKey(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q is %v, %v; want an error with %q", text, k, err, why)
		}
	}
	if _, err := ReadKey(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Error(err)
	}
	if err := os.WriteFile(file, make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKey(file); err == nil {
		t.Error("a file of any size is read")
	}
}
