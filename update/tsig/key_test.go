package tsig_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

func TestParseAlgorithm(t *testing.T) {
	for _, a := range all {
		for _, text := range []string{a.String(), a.String() + ".", strings.ToUpper(a.String())} {
			if got, err := tsig.ParseAlgorithm(text); err != nil || got != a {
				t.Errorf("%s: %v, %v", text, got, err)
			}
		}
	}
	for text, want := range map[string]string{
		"hmac-md5":                  "broken",
		"HMAC-MD5.SIG-ALG.REG.INT.": "broken",
		"hmac-sha3":                 "not known",
		"":                          "not known",
		"hmac-sha256..":             "not known",
	} {
		_, err := tsig.ParseAlgorithm(text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "use hmac-sha256") {
			t.Errorf("%q: error is %v, want %q and a way out", text, err, want)
		}
	}
}

func TestNewKeyringReportsAllFaults(t *testing.T) {
	_, err := tsig.NewKeyring([]tsig.Key{
		{Name: "", Algorithm: tsig.HMACSHA256, Secret: secret},
		{Name: rr.MustName("none."), Secret: secret},
		{Name: rr.MustName("beyond."), Algorithm: tsig.HMACSHA512 + 1, Secret: secret},
		{Name: rr.MustName("empty."), Algorithm: tsig.HMACSHA256},
		{Name: rr.MustName("Twice."), Algorithm: tsig.HMACSHA256, Secret: secret},
		{Name: rr.MustName("tWICE."), Algorithm: tsig.HMACSHA512, Secret: secret},
	}, tsig.Options{MinMAC: 65})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"65 octets", "<no name>", "none.: no algorithm", "beyond.: no algorithm", "empty.: the secret is empty", "tWICE. is given twice",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestKeyringKeepsItsOwnSecret(t *testing.T) {
	mine := bytes.Clone(secret)
	r, err := tsig.NewKeyring([]tsig.Key{{Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: mine}}, tsig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	clear(mine)
	msg, _ := sign(t, query(t), tsig.HMACSHA256, now, nil)
	success(t, r, msg, now)
}

func TestSecretIsNotPrinted(t *testing.T) {
	k := tsig.Key{Name: rr.MustName(keyName), Algorithm: tsig.HMACSHA256, Secret: []byte("hush")}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "key", k)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "key", k, "keys", []tsig.Key{k})
	fmt.Fprintf(&out, "%v %+v %#v %s %v", k, k, k, k, []tsig.Key{k})
	for _, s := range []string{"hush", "104 117", "68757368", "aHVzaA", "0x68"} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%q is in %s", s, out.String())
		}
	}
	if !strings.Contains(out.String(), "hmac-sha256:phone.key.") {
		t.Errorf("the key is not named: %s", out.String())
	}
}
