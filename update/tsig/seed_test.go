package tsig_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

func seed(t testing.TB) *tsig.Seed {
	t.Helper()
	octets := make([]byte, tsig.MinSeed)
	for i := range octets {
		octets[i] = byte(i)
	}
	s, err := tsig.NewSeed(octets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func derive(t testing.TB, s *tsig.Seed, name string, generation uint32) tsig.Key {
	t.Helper()
	k, err := s.Key(rr.MustName(name), generation)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The vector of the README, which systems elsewhere derive too.
func TestSeedVector(t *testing.T) {
	for generation, want := range map[uint32]string{
		1: "Ai2Lfsc2viNuTc/hGx8bjRTK5S5RODJZ1DRX94xyoqk=",
		2: "DqsGCJuNcykPQgCUcsoP+XyK1DvEksl+2IIsG9c7LX8=",
	} {
		for _, name := range []string{"5551234.phones.example.", "5551234.Phones.EXAMPLE."} {
			k := derive(t, seed(t), name, generation)
			if got := base64.StdEncoding.EncodeToString(k.Secret); got != want || k.Algorithm != tsig.HMACSHA256 {
				t.Errorf("%s generation %d: %s, want %s", name, generation, got, want)
			}
		}
	}
}

// RFC 5869, section 2, written without its library.
func TestSeedIsHKDF(t *testing.T) {
	octets := []byte("a seed that has rather more octets than thirty-two")
	s, err := tsig.NewSeed(octets)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(key, data []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(data)
		return h.Sum(nil)
	}
	name := rr.MustName("1.example.")
	for _, generation := range []uint32{1, 1<<32 - 1} {
		info := binary.BigEndian.AppendUint32([]byte(name), generation)
		want := sum(sum([]byte("dialtone phone key v1"), octets), append(info, 1))
		if got := derive(t, s, "1.example.", generation); string(got.Secret) != string(want) {
			t.Errorf("generation %d: %x, want %x", generation, got.Secret, want)
		}
	}
}

func TestSeedsAreLong(t *testing.T) {
	if _, err := tsig.NewSeed(make([]byte, tsig.MinSeed-1)); err == nil || !strings.Contains(err.Error(), "at least 32") {
		t.Errorf("short seed: %v", err)
	}
}

func TestSeedIsNotPrinted(t *testing.T) {
	s := seed(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, s); text != "seed" {
			t.Errorf("%s prints %q", format, text)
		}
	}
}
