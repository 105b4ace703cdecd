package call

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	sampleRate = 8000 // samples a second
	sampleSize = 2    // octets: 16 bits, little-endian
	headerSize = 44   // octets of the header that recordings have
	maxAudio   = 64 << 20
)

// Audio is sound of 8 kHz, one channel, 16 bits.
type Audio struct{ pcm []byte }

// Duration is how long it plays.
func (a *Audio) Duration() time.Duration {
	return time.Duration(len(a.pcm)/sampleSize) * time.Second / sampleRate
}

// ReadAudio reads a WAV file of 8 kHz, mono, 16 bits.
func ReadAudio(file string) (*Audio, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAudio+1))
	if err == nil && len(data) > maxAudio {
		err = fmt.Errorf("it has more than %d MiB", maxAudio>>20)
	}
	var a *Audio
	if err == nil {
		a, err = parseWAV(data)
	}
	if err != nil {
		return nil, fmt.Errorf("audio file %s: %w", file, err)
	}
	return a, nil
}

var (
	errNoWAV    = errors.New("it is no WAV file")
	errNoSound  = errors.New("there is no sound in it")
	formatNames = map[uint16]string{1: "PCM", 3: "floating point", 6: "A-law", 7: "µ-law", 0xfffe: "extensible"}
)

// parseWAV walks the chunks of a RIFF file. Each has a name of four octets and
// its length, and is filled up to an even length.
func parseWAV(data []byte) (*Audio, error) {
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return nil, errNoWAV
	}
	known := false
	for rest := data[12:]; len(rest) >= 8; {
		name, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		body := rest[8:]
		body = body[:min(size, int64(len(body)))] // a recording that was cut off says more than it has
		switch name {
		case "fmt ":
			if err := checkFormat(body); err != nil {
				return nil, err
			}
			known = true
		case "data":
			if !known {
				return nil, errNoWAV
			}
			if len(body) < sampleSize {
				return nil, errNoSound
			}
			return &Audio{body[:len(body)&^1]}, nil
		}
		rest = rest[min(8+len(body)+len(body)&1, len(rest)):]
	}
	return nil, errNoSound
}

func checkFormat(f []byte) error {
	if len(f) < 16 {
		return errNoWAV
	}
	format, channels := binary.LittleEndian.Uint16(f), binary.LittleEndian.Uint16(f[2:])
	hertz, bits := binary.LittleEndian.Uint32(f[4:]), binary.LittleEndian.Uint16(f[14:])
	if format == 0xfffe && len(f) >= 26 {
		format = binary.LittleEndian.Uint16(f[24:]) // the first octets of the subformat
	}
	if format == 1 && channels == 1 && hertz == sampleRate && bits == 8*sampleSize {
		return nil
	}
	name := formatNames[format]
	if name == "" {
		name = fmt.Sprintf("format %d", format)
	}
	return fmt.Errorf("it is %d Hz, %d channels, %d bits %s, and 8000 Hz, 1 channel, 16 bits PCM are wanted: convert it with \"sox IN.wav -r 8000 -c 1 -b 16 -e signed OUT.wav\"",
		hertz, channels, bits, name)
}

// header is that of a WAV file with so many octets of sound.
func header(size uint32) []byte {
	h := make([]byte, 0, headerSize)
	h = append(h, "RIFF"...)
	h = binary.LittleEndian.AppendUint32(h, size+headerSize-8)
	h = append(h, "WAVEfmt "...)
	h = binary.LittleEndian.AppendUint32(h, 16)
	h = binary.LittleEndian.AppendUint16(h, 1) // PCM
	h = binary.LittleEndian.AppendUint16(h, 1) // channel
	h = binary.LittleEndian.AppendUint32(h, sampleRate)
	h = binary.LittleEndian.AppendUint32(h, sampleRate*sampleSize)
	h = binary.LittleEndian.AppendUint16(h, sampleSize)
	h = binary.LittleEndian.AppendUint16(h, 8*sampleSize)
	h = append(h, "data"...)
	return binary.LittleEndian.AppendUint32(h, size)
}
