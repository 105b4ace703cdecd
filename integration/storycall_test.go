package integration

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"dialtone/integration/peertest"
	"dialtone/integration/stage"
)

// TestStoryOfDialtoneAlone is the story where all phones are dialtone: those that answer and those that call. Each plays a tone of its
// own, and by the tone it is known on the other side.
func TestStoryOfDialtoneAlone(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.agent.Kill(t)
	tones := map[string]int{"a": 400, "b": 1000, "c": 1600, "stranger": 2400} // Hz
	answer := func(p *stage.Phone) *peertest.Process {
		writeTone(t, p.Dir+"/tone.wav", tones[p.Name])
		return runAgent(t, p, "--json", "--answer", "--play", "tone.wav", "--record", "heard.wav")
	}
	a := answer(s.a)
	s.connect(t, s.a)
	s.connect(t, s.b)
	calls := 0
	ring := func(caller *stage.Host, number, want string) {
		t.Helper()
		writeTone(t, caller.Dir+"/tone.wav", tones[caller.Name])
		_ = os.Remove(caller.Dir + "/heard.wav")
		if r := caller.Run(t, peertest.Binary(t), "call", number, "--ring", "--audio", "tone.wav", "--record", "heard.wav"); r.Code != 0 {
			t.Errorf("%s calls %s: exit code %d\n%s%s", caller.Name, number, r.Code, r.Stdout, r.Stderr)
			return
		}
		if err := hears(caller.Dir+"/heard.wav", tones[want]); err != nil {
			t.Errorf("%s calls %s, and does not hear %s: %v", caller.Name, number, want, err)
		}
	}
	// told waits until an agent has told of so many calls that have come to an end, and gives who called in the last.
	told := func(p *peertest.Process, count int) (from string) {
		t.Helper()
		p.Ready(t, func() error {
			ended := 0
			for line := range strings.Lines(p.Log()) {
				var e struct{ Event, Address string }
				if json.Unmarshal([]byte(line), &e) != nil {
					continue
				}
				switch e.Event {
				case "incoming":
					from = e.Address
				case "ended":
					ended++
				}
			}
			if ended != count {
				return fmt.Errorf("%d calls of %d have ended", ended, count)
			}
			return nil
		})
		return from
	}
	round := func() {
		t.Helper()
		for _, caller := range []*stage.Host{s.b.Host, s.c} {
			ring(caller, numberA, "a")
			calls++
			if from := told(a, calls); from != caller.Addr {
				t.Errorf("A was called from %s, want %s, where %s is", from, caller.Addr, caller.Name)
			}
			heard := s.a.Dir + "/heard.wav"
			if calls > 1 {
				heard = fmt.Sprintf("%s/heard-%d.wav", s.a.Dir, calls)
			}
			if err := hears(heard, tones[caller.Name]); err != nil {
				t.Errorf("A does not hear %s: %v", caller.Name, err)
			}
		}
	}
	round()
	old, stranger := s.move(t, s.a)
	other := answer(stranger)
	s.leads(t, s.c, numberD, old)
	round()
	// Whoever goes to where A was finds the stranger there, who has another number, and not A.
	if who, err := s.c.Call(t, numberA, old+":5060"); err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("C calls A's number where A was, and %q answers: %v", who, err)
	}
	ring(s.c, numberD, "stranger")
	if from := told(other, 1); from != s.c.Addr {
		t.Errorf("the stranger was called from %s, want %s", from, s.c.Addr)
	}
	told(a, calls)

	// Without --ring it only asks whether somebody is there.
	if out := s.c.Must(t, peertest.Binary(t), "call", numberA); !strings.Contains(out, s.a.Addr+":5060") {
		t.Errorf("A is at %s; %s", s.a.Addr, out)
	}
	if code := a.Stop(t); code != 0 {
		t.Errorf("A's agent ends with %d", code)
	}
	s.leads(t, s.c, numberA, nowhere)
	if r := s.c.Run(t, peertest.Binary(t), "call", numberA, "--ring"); r.Code != 5 {
		t.Errorf("A has gone, and a call ends with %d, want 5: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

const sampleRate = 8000 // a second

// writeTone writes half a second of a tone as a WAV file of 16 bits.
func writeTone(t *testing.T, file string, hertz int) {
	t.Helper()
	const samples = sampleRate / 2
	b := append([]byte("RIFF"), make([]byte, 4)...)
	b = append(b, "WAVEfmt "...)
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(sampleRate), uint32(2 * sampleRate), uint16(2), uint16(16)} {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, 2*samples)
	for i := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(12000*math.Sin(2*math.Pi*float64(hertz*i)/sampleRate))))
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// hears looks whether a tone is most of what a recording has, by the strength of the tone (Goertzel) beside that of all.
func hears(file string, hertz int) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	at := bytes.Index(b, []byte("data"))
	if at < 0 || len(b) < at+8 {
		return fmt.Errorf("%s is no recording", file)
	}
	b = b[at+8:]
	w := 2 * math.Pi * float64(hertz) / sampleRate
	all, count := 0.0, 0
	var strength float64
	// In parts, for the tone may begin anew where something was lost.
	const part = 160
	for ; len(b) >= 2*part; b = b[2*part:] {
		var s1, s2 float64
		for i := range part {
			x := float64(int16(binary.LittleEndian.Uint16(b[2*i:])))
			all += x * x
			s1, s2 = x+2*math.Cos(w)*s1-s2, s1
		}
		strength += (s1*s1 + s2*s2 - 2*math.Cos(w)*s1*s2) / (part / 2)
		count++
	}
	if count == 0 || all/float64(count*part) < 1000*1000 || strength < 0.8*all {
		return fmt.Errorf("%s has %d parts; loudness %.0f, of which %.0f %% is a tone of %d Hz", file, count,
			math.Sqrt(all/float64(max(count, 1)*part)), 100*strength/max(all, 1), hertz)
	}
	return nil
}
