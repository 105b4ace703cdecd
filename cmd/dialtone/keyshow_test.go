package main

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"dialtone/dnsserver/keys"
	"dialtone/phone"
)

// scan reads a QR code off the terminal's lines, as a phone would.
func scan(t *testing.T, lines []string) string {
	t.Helper()
	const pixels = 4 // a module
	var rows [][]bool
	for _, line := range lines {
		line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(line, "# "), "\x1b[97;40m"), "\x1b[0m")
		var upper, lower []bool // white
		for _, c := range line {
			upper = append(upper, c == '█' || c == '▀')
			lower = append(lower, c == '█' || c == '▄')
		}
		rows = append(rows, upper, lower)
	}
	img := image.NewGray(image.Rect(0, 0, len(rows[0])*pixels, len(rows)*pixels))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if rows[y/pixels][x/pixels] {
				img.SetGray(x, y, color.Gray{255})
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(lines, "\n"))
	}
	return found.GetText()
}

func TestQRCodeIsScanned(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		for _, zone := range []string{"phones.example.", strings.Repeat("a-long-label.", 15)} {
			i := keys.Info{Zone: zone, Number: "442079460148", Name: "442079460148." + zone, Kind: keys.KindKept, Algorithm: "hmac-sha512", Secret: bytes.Repeat([]byte{0xfb}, 64)}
			k, err := clause(i)
			if err != nil {
				t.Fatal(err)
			}
			s := shown{i, k, phone.Provisioning{Zone: zone, Number: "442079460148", Key: k, Server: "[2001:db8::53]:53"}}
			var b bytes.Buffer
			if err := s.print(&b, terminal, true); err != nil {
				t.Fatal(err)
			}
			text, drawn, _ := strings.Cut(b.String(), "\n# dialtone://")
			uri, drawn, _ := strings.Cut(drawn, "\n")
			got := scan(t, strings.Split(strings.TrimSuffix(drawn, "\n"), "\n"))
			if got != "dialtone://"+uri {
				t.Errorf("scanned %q, want dialtone://%s", got, uri)
			}
			p, err := phone.ParseProvisioning(got)
			if err != nil || p.Number != "442079460148" || p.Zone != zone || p.Server != "[2001:db8::53]:53" || *p.Key != *k {
				t.Errorf("%+v, %v", p, err)
			}
			if !strings.Contains(text, "secret \""+base64.StdEncoding.EncodeToString(i.Secret)+"\";\n") || !strings.Contains(text, "#   server 2001:db8::53 53\n") {
				t.Errorf("no key in\n%s", text)
			}
		}
	}
}
