package keys

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"dialtone/zone/store"
)

// imports keeps a secret for a number; why is told when it is left out.
func (d *desk) imports(number, secret string, replace bool) (why string) {
	d.t.Helper()
	text := fmt.Sprintf("# a key\n%s %s\n", number, base64.StdEncoding.EncodeToString([]byte(secret)))
	done, err := d.Import(d.t.Context(), admin, Import{Zone: "phones.example.", File: "f", Replace: replace}, strings.NewReader(text))
	switch {
	case err != nil || done.Keys+done.LeftOut != 1 || len(done.Why) != done.LeftOut:
		d.t.Fatalf("%+v, %v", done, err)
	case done.LeftOut == 1:
		if e := d.audit[len(d.audit)-1]; e.Detail != "0 keys of f, 1 left out" || done.Why[0].At != 2 {
			d.t.Errorf("audit log has %q; %+v", e.Detail, done)
		}
		return done.Why[0].Text
	case d.works(number+".phones.example.") != secret:
		d.t.Errorf("the key of %s is not the imported one", number)
	}
	return ""
}

func TestImportBringsNoSecretBack(t *testing.T) {
	d := newDesk(t)
	const name = "1.phones.example."
	about := Revoke{Zone: "phones.example.", Number: "1"}
	refused := func(secret, why string, replace bool) {
		t.Helper()
		before := d.works(name)
		if got := d.imports("1", secret, replace); !strings.Contains(got, why) || d.works(name) != before {
			t.Errorf("%q: left out because %q, want %q; %q works", secret, got, why, d.works(name))
		}
	}
	taken := func(secret string, replace bool) {
		t.Helper()
		if why := d.imports("1", secret, replace); why != "" {
			t.Errorf("%q is left out: %s", secret, why)
		}
	}
	const revoked, blocked = "this secret of number 1 was revoked", "number 1 is blocked since 2026-11-26: "
	taken("first", false)
	taken("first", false)
	refused(d.derived("1", 1), revoked, true)
	d.revoke(about)
	refused("first", revoked, true)
	taken("second", false)
	d.revoke(Revoke{Zone: "phones.example.", Number: "1", Block: true})
	refused("second", revoked, false)
	refused("second", revoked, true)
	refused("third", blocked, false)
	if d.works(name) != "" {
		t.Error("the number is not blocked any more")
	}
	taken("third", true)
	taken("fourth", false) // which revokes the third
	refused("third", revoked, true)
	made := string(d.add(Add{Zone: "phones.example.", Number: "1", Replace: true}).Secret)
	refused("fourth", revoked, true)
	d.add(Add{Zone: "phones.example.", Number: "1", Derived: true, Replace: true})
	refused(made, revoked, true)
	if why := d.imports("2", "first", false); why != "" {
		t.Errorf("what another number had: %s", why)
	}
}

func TestLastRevokedSecretsAreKnown(t *testing.T) {
	d := newDesk(t)
	for i := range store.MaxRevoked + 5 {
		if why := d.imports("1", fmt.Sprint("secret ", i), false); why != "" {
			t.Fatal(why)
		}
	}
	d.revoke(Revoke{Zone: "phones.example.", Number: "1"})
	for i := 5; i < store.MaxRevoked+5; i++ {
		if d.imports("1", fmt.Sprint("secret ", i), true) == "" {
			t.Errorf("secret %d came back", i)
		}
	}
}

// Who derives keys elsewhere may import one of a generation that is to come.
func TestDerivedKeyDoesNotComeBackAfterAnImport(t *testing.T) {
	d := newDesk(t)
	for _, generation := range []uint32{3, 4} {
		if why := d.imports("1", d.derived("1", generation), false); why != "" {
			t.Fatal(why)
		}
	}
	if i := d.revoke(Revoke{Zone: "phones.example.", Number: "1"}); i.Generation != 5 || d.works("1.phones.example.") != d.derived("1", 5) {
		t.Errorf("after generations 3 and 4 it has %+v", i)
	}
}

// The secret that works already is no other one: nothing is revoked.
func TestImportOfTheSecretThatWorks(t *testing.T) {
	d := newDesk(t)
	secret := d.derived("1", 1)
	if why := d.imports("1", secret, false); why != "" {
		t.Fatal(why)
	}
	for _, algorithm := range []string{"hmac-sha512", "hmac-sha256", "hmac-sha256"} {
		done, err := d.importText(t.Context(), "1 "+algorithm+" "+base64.StdEncoding.EncodeToString([]byte(secret)))
		if err != nil || done.Keys != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		if i, err := d.Show(t.Context(), admin, Show{Zone: "phones.example.", Number: "1"}); err != nil || i.Kind != KindKept || i.Algorithm != algorithm || i.Generation != 1 || string(i.Secret) != secret {
			t.Errorf("%+v, %v", i, err)
		}
	}
	d.revoke(Revoke{Zone: "phones.example.", Number: "1"})
	if d.imports("1", secret, true) == "" {
		t.Error("it came back")
	}
}

func TestImportTellsOfTheFirstThatAreLeftOut(t *testing.T) {
	d := newDesk(t)
	const blocked = MaxLeftOut + 3
	var b strings.Builder
	for i := range store.MaxPhoneKeys + blocked {
		number := fmt.Sprint(1000 + i)
		if i < blocked-5 || i >= store.MaxPhoneKeys+blocked-5 { // in both batches
			d.revoke(Revoke{Zone: "phones.example.", Number: number, Block: true})
		}
		fmt.Fprintf(&b, "%s eA==\n", number)
	}
	d.changed = nil
	done, err := d.importText(t.Context(), b.String())
	if err != nil || done.Keys != store.MaxPhoneKeys || done.LeftOut != blocked || len(done.Why) != MaxLeftOut || done.Why[19].At != store.MaxPhoneKeys+blocked-5+2 {
		t.Errorf("%+v, %v", done, err)
	}
	if e := d.audit[len(d.audit)-1]; e.Detail != "500 keys of f, 23 left out" || len(d.changed) != store.MaxPhoneKeys {
		t.Errorf("%q; %d changed", e.Detail, len(d.changed))
	}
}

// Hashes stay on disk: they must stay what they are.
func TestHashOfASecret(t *testing.T) {
	if got := fmt.Sprintf("%x", hashOf("5551234", []byte("secret"))); got != "6e28aed0aa4f20f3" {
		t.Errorf("%s", got)
	}
}
