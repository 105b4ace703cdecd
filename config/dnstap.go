package config

// dnstap reads where messages are written. Nothing of it: nowhere.
func (c *checker) dnstap(t map[string]string) {
	if len(t) == 0 {
		return
	}
	d := &Tap{Socket: c.pathOf(t["socket"]), File: c.pathOf(t["file"])}
	switch {
	case d.Socket == "" && d.File == "":
		c.fault("dnstap", "it names neither socket nor file: name one of them")
	case d.Socket != "" && d.File != "":
		c.fault("dnstap.file", "there is a socket too: name one of them")
	}
	flag := func(name string) bool { return c.flag("dnstap."+name, t[name]) }
	d.Queries, d.Updates, d.Responses = flag("queries"), flag("updates"), flag("responses")
	if !d.Queries && !d.Updates {
		c.fault("dnstap", "neither queries nor updates are to be written: set one of them to true, or remove dnstap")
	}
	size := func(name string, v *int64, low, high int64) {
		if text := t[name]; text != "" {
			if *v = c.size("dnstap."+name, text); *v != 0 && (*v < low || *v > high) {
				c.fault("dnstap."+name, "%s is not between %d and %d octets", text, low, high)
			}
		}
	}
	size("queue", &d.Queue, 64<<10, 1<<30)
	size("max_file", &d.MaxFile, 1<<10, 1<<50)
	c.conf.Tap = d
}

// pathOf is path for a setting that may be absent.
func (c *checker) pathOf(p string) string {
	if p == "" {
		return ""
	}
	return c.path(p)
}
