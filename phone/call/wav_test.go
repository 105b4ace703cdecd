package call

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"dialtone/phone"
)

// riff makes a WAV file of chunks.
func riff(chunks ...[]byte) []byte {
	body := append([]byte("WAVE"), bytes.Join(chunks, nil)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func chunk(name string, body []byte) []byte {
	c := append(binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body))), body...)
	if len(body)%2 == 1 {
		c = append(c, 0)
	}
	return c
}

func format(kind, channels uint16, hertz uint32, bits uint16) []byte {
	f := binary.LittleEndian.AppendUint16(nil, kind)
	f = binary.LittleEndian.AppendUint16(f, channels)
	f = binary.LittleEndian.AppendUint32(f, hertz)
	f = binary.LittleEndian.AppendUint32(f, hertz*uint32(channels)*uint32(bits)/8)
	f = binary.LittleEndian.AppendUint16(f, channels*bits/8)
	return chunk("fmt ", binary.LittleEndian.AppendUint16(f, bits))
}

func TestParseWAV(t *testing.T) {
	sound := []byte{1, 2, 3, 4, 5, 6}
	good := format(1, 1, 8000, 16)
	extensible := chunk("fmt ", append(append(bytes.Clone(format(0xfffe, 1, 8000, 16)[8:]), 22, 0, 16, 0, 4, 0, 0, 0), append([]byte{1, 0}, make([]byte, 14)...)...))
	for name, x := range map[string]struct {
		file []byte
		want []byte
		err  string
	}{
		"plain":        {riff(good, chunk("data", sound)), sound, ""},
		"other chunks": {riff(chunk("LIST", []byte("odd")), good, chunk("fact", nil), chunk("data", sound), chunk("id3 ", nil)), sound, ""},
		"extensible":   {riff(extensible, chunk("data", sound)), sound, ""},
		"cut off":      {riff(good, chunk("data", sound))[:44+4], sound[:4], ""},
		"odd":          {riff(good, chunk("data", sound[:5])), sound[:4], ""},
		"ours":         {append(header(6), sound...), sound, ""},
		"empty":        {nil, nil, "no WAV file"},
		"text":         {[]byte("RIFF is not enough"), nil, "no WAV file"},
		"no format":    {riff(chunk("data", sound)), nil, "no WAV file"},
		"short format": {riff(chunk("fmt ", []byte{1, 0}), chunk("data", sound)), nil, "no WAV file"},
		"no data":      {riff(good), nil, "no sound"},
		"no samples":   {riff(good, chunk("data", nil)), nil, "no sound"},
		"half a chunk": {riff(good, []byte("dat")), nil, "no sound"},
		"music":        {riff(format(1, 2, 44100, 16), chunk("data", sound)), nil, "44100 Hz, 2 channels, 16 bits PCM"},
		"A-law":        {riff(format(6, 1, 8000, 8), chunk("data", sound)), nil, "8 bits A-law"},
		"unknown":      {riff(format(777, 1, 8000, 16), chunk("data", sound)), nil, "format 777"},
	} {
		a, err := parseWAV(x.file)
		switch {
		case x.err != "":
			if err == nil || !strings.Contains(err.Error(), x.err) {
				t.Errorf("%s: %v, %v; want an error with %q", name, a, err, x.err)
			}
		case err != nil || !bytes.Equal(a.pcm, x.want):
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	file := filepath.Join(t.TempDir(), "a.wav")
	if _, err := ReadAudio(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(file, riff(good, chunk("data", make([]byte, 16000))), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := ReadAudio(file); err != nil || a.Duration() != time.Second {
		t.Errorf("%v, %v", a, err)
	}
	if err := os.Truncate(file, maxAudio+1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAudio(file); err == nil || !strings.Contains(err.Error(), "64 MiB") || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}

func FuzzParseWAV(f *testing.F) {
	f.Add(riff(format(1, 1, 8000, 16), chunk("LIST", []byte("odd")), chunk("data", []byte{1, 2, 3})))
	f.Add(riff(format(0xfffe, 1, 8000, 16), chunk("data", []byte{1, 2})))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseWAV(data)
		if err == nil && (len(a.pcm) == 0 || len(a.pcm)%2 != 0 || !bytes.Contains(data, a.pcm)) {
			t.Fatalf("%v of %q", a.pcm, data)
		}
	})
}

func newRecording(name string, b *budget) *recording {
	return &recording{name: name, budget: b, opened: func(string) {}}
}

// TestRecordingPlacesPackets: each packet is where its timestamp says, however it
// comes.
func TestRecordingPlacesPackets(t *testing.T) {
	type packet struct {
		ssrc, timestamp uint32
		sound           string // two octets a sample
		after           time.Duration
	}
	const top = 1<<32 - 1
	gap := strings.Repeat("\x00", 2*3)
	for name, x := range map[string]struct {
		packets []packet
		want    string
	}{
		"in order":              {[]packet{{1, 100, "AABB", 0}, {1, 102, "CC", 0}}, "AABBCC"},
		"late":                  {[]packet{{1, 100, "AA", 0}, {1, 102, "CC", 0}, {1, 101, "BB", 0}}, "AABBCC"},
		"twice":                 {[]packet{{1, 100, "AA", 0}, {1, 100, "AA", 0}, {1, 101, "BB", 0}}, "AABB"},
		"lost":                  {[]packet{{1, 100, "AA", 0}, {1, 104, "BB", 0}}, "AA" + gap + "BB"},
		"wraps":                 {[]packet{{1, top, "AA", 0}, {1, 0, "BB", 0}, {1, top, "AA", 0}, {1, 1, "CC", 0}}, "AABBCC"},
		"before the first":      {[]packet{{1, 100, "AA", 0}, {1, 98, "ZZ", 0}, {1, 101, "BB", 0}}, "AABB"},
		"another source":        {[]packet{{1, 100, "AA", 0}, {2, 9999999, "BB", 0}, {2, 10000000, "CC", 0}}, "AABBCC"},
		"into the future":       {[]packet{{1, 100, "AA", 0}, {1, 1 << 30, "BB", 0}, {1, 1<<30 + 1, "CC", 0}}, "AABBCC"},
		"into the past":         {[]packet{{1, 1 << 30, "AA", 0}, {1, 100, "BB", 0}, {1, 101, "CC", 0}}, "AABBCC"},
		"silence that was real": {[]packet{{1, 100, "AA", 0}, {1, 100 + 5*sampleRate, "BB", 5 * time.Second}}, "AA" + strings.Repeat("\x00", 2*5*sampleRate-2) + "BB"},
	} {
		r := newRecording(filepath.Join(t.TempDir(), "r.wav"), newBudget(1<<20))
		begun := time.Now()
		for _, p := range x.packets {
			if err := r.add(&rtp.Header{SSRC: p.ssrc, Timestamp: p.timestamp}, []byte(p.sound), begun.Add(p.after)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		if got := recorded(t, r.file.Name()); string(got) != x.want {
			t.Errorf("%s: %d octets, %.60q, want %.60q", name, len(got), got, x.want)
		}
	}
}

// TestRecordingsHaveALimit for all of them together.
func TestRecordingsHaveALimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.wav")
	b := newBudget(10)
	first, second := newRecording(name, b), newRecording(name, b)
	now := time.Now()
	add := func(r *recording, timestamp uint32) error {
		return r.add(&rtp.Header{SSRC: 1, Timestamp: timestamp}, []byte("AABB"), now)
	}
	for i, x := range []struct {
		r         *recording
		timestamp uint32
		err       error
	}{
		{first, 0, nil}, {second, 0, nil}, {first, 2, errRecordLimit}, {first, 1, nil}, {second, 1, errRecordLimit}, {second, 0, nil},
	} {
		if err := add(x.r, x.timestamp); !errors.Is(err, x.err) {
			t.Errorf("%d: %v, want %v", i, err, x.err)
		}
	}
	for _, r := range []*recording{first, second} {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
	if got := recorded(t, name); string(got) != "AAAABB" {
		t.Errorf("%q", got)
	}
}

// TestRecordingThatFails is told at the end of the call, too.
func TestRecordingThatFails(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none", "r.wav")
	if err := CheckRecording(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the call: %v", err)
	}
	here := newDiary()
	addr := answers(t, &Answerer{Number: "5551234", Play: tone(100 * time.Millisecond)})
	c := &Caller{Locator: &directory{lists: [][]phone.Contact{at("udp", addr)}}, Report: here.report}
	ctx, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	ended := make(chan error, 1)
	go func() { ended <- c.Ring(ctx, "5551234", Talk{For: time.Hour, Record: name}) }()
	here.await(t, Fault)
	hangUp()
	if err := <-ended; !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the call: %v", err)
	}
}
