package main

import (
	"errors"
	"fmt"
	"slices"

	"dialtone/config"
	"dialtone/dnsserver"
)

// explain turns what a user can correct into a userError, each line of which
// names a file, a setting and what to do. An error without any such it leaves
// as it is.
func explain(conf *config.Config, err error) error {
	var lines []string
	correctable := false
	for _, e := range each(err) {
		known := explainOne(conf, e)
		if correctable = correctable || known != nil; known == nil {
			known = []string{"dialtone: " + e.Error()}
		}
		lines = append(lines, known...)
	}
	if !correctable {
		return err
	}
	return &userError{lines}
}

// each takes joined errors apart, but not those that say more than their parts.
func each(err error) []error {
	var bind *dnsserver.BindError
	if joined, ok := err.(interface{ Unwrap() []error }); ok && !(errors.As(err, &bind) && err == error(bind)) {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, each(e)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func explainOne(conf *config.Config, err error) (lines []string) {
	var (
		faults config.Faults
		bind   *dnsserver.BindError
		dir    *dnsserver.DataDirError
		zone   *dnsserver.ZoneError
		tap    *dnsserver.TapError
	)
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			lines = append(lines, f.String())
		}
	case errors.As(err, &bind):
		for _, f := range bind.Failed {
			setting := f.Proto + ".listen" // metrics, web
			if i := slices.Index(conf.Listen, f.Addr); i >= 0 && (f.Proto == "udp" || f.Proto == "tcp") {
				setting = fmt.Sprintf("listen[%d]", i)
			}
			lines = append(lines, at(conf, setting, f.String(), "DIALTONE_LISTEN"))
		}
	case errors.As(err, &dir):
		lines = append(lines, at(conf, "data_dir", dir.Error(), "DIALTONE_DATA_DIR"))
	case errors.As(err, &tap):
		lines = append(lines, at(conf, "dnstap.file", tap.Error(), "DIALTONE_DNSTAP_FILE"))
	case errors.As(err, &zone):
		lines = explainZone(conf, zone)
	}
	return lines
}

func explainZone(conf *config.Config, zone *dnsserver.ZoneError) (lines []string) {
	i := slices.IndexFunc(conf.Zones, func(z config.Zone) bool { return z.Name.EqualFold(zone.Apex) })
	if i < 0 {
		return []string{zone.Error()}
	}
	setting := fmt.Sprintf("zones[%d]", i)
	for _, p := range zone.Problems {
		if p.Line == 0 && conf.Zones[i].File != "" { // of the file as a whole, or its absence
			lines = append(lines, conf.At(setting+".file", p.String()).String())
			continue
		}
		lines = append(lines, p.String())
	}
	if len(zone.Problems) == 0 {
		lines = append(lines, conf.At(setting, zone.Error()).String())
	}
	return lines
}

// at names the setting; there is no file to change for the built-in default,
// but a variable that overrides it.
func at(conf *config.Config, setting, text, variable string) string {
	f := conf.At(setting, text)
	if conf.Path == "" && f.File != "" {
		f.Text += fmt.Sprintf(" (by setting %s, or by a file with --config)", variable)
	}
	return f.String()
}
