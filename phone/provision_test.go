package phone

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

const (
	aSecret = "+/8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	aURI    = "dialtone://phones.example/5551234?algorithm=hmac-sha256&secret=-_8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

func TestProvisioningThereAndBack(t *testing.T) {
	for server, uri := range map[string]string{
		"":                  aURI,
		"192.0.2.53:53":     aURI + "&server=192.0.2.53%3A53",
		"[2001:db8::53]:53": aURI + "&server=%5B2001%3Adb8%3A%3A53%5D%3A53",
	} {
		k, err := NewKey("5551234.phones.example.", "", aSecret)
		if err != nil {
			t.Fatal(err)
		}
		p := Provisioning{Zone: "phones.example.", Number: "5551234", Key: k, Server: server}
		if got := p.String(); got != uri {
			t.Errorf("URI is %s, want %s", got, uri)
		}
		back, err := ParseProvisioning(uri)
		if err != nil || back.Zone != p.Zone || back.Number != p.Number || back.Server != server || *back.Key != *k {
			t.Errorf("%s comes back as %+v, %v", uri, back, err)
		}
	}
	p, err := ParseProvisioning("dialtone://Phones.Example./1?secret=eA&later=1")
	if err != nil || p.Zone != "phones.example." || p.Key.Name != "1.phones.example." || p.Key.Algorithm != "hmac-sha256." {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestProvisioningFaults(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                     "no provisioning",
		"https://phones.example/1":             "no provisioning",
		"dialtone:1":                           "no provisioning",
		"dialtone://a%zz/1?secret=eA":          "no provisioning",
		"dialtone://a..b/1?secret=eA":          "not a plain domain name",
		"dialtone://./1?secret=eA":             "not a plain domain name",
		"dialtone://a:53/1?secret=eA":          "not a plain domain name",
		"dialtone://a/?secret=eA":              "not a number",
		"dialtone://a/1234567890123456":        "not a number",
		"dialtone://a/1/2?secret=eA":           "not a number",
		"dialtone://a/1":                       "not base64url",
		"dialtone://a/1?secret=e+A":            "not base64url",
		"dialtone://a/1?secret=eA&algorithm=":  "",
		"dialtone://a/1?secret=eA&algorithm=x": `algorithm "x" is not known`,
	} {
		_, err := ParseProvisioning(uri)
		var mistake *InputError
		if want == "" && err != nil || want != "" && (!errors.As(err, &mistake) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
	}
}

func FuzzParseProvisioning(f *testing.F) {
	f.Add(aURI)
	f.Add("dialtone://a.b./1?secret=eA&server=[::1]:53&algorithm=hmac-sha512")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProvisioning(text)
		if err != nil {
			return
		}
		again, err := ParseProvisioning(p.String())
		if err != nil || again.Number != p.Number || *again.Key != *p.Key || again.Server != p.Server {
			t.Fatalf("%+v comes back as %+v, %v", p, again, err)
		}
	})
}

func TestClauseIsReadBack(t *testing.T) {
	k, err := NewKey("5551234.Phones.example", "hmac-sha512", base64.StdEncoding.EncodeToString([]byte("//secret//")))
	if err != nil {
		t.Fatal(err)
	}
	back, err := parseKey("# a comment\n" + k.Clause() + "# another\n")
	if err != nil || *back != *k {
		t.Errorf("%s comes back as %v, %v", k.Clause(), back, err)
	}
}
