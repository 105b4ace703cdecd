package config

import (
	"os"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// raw is the file with the environment's overrides, as written.
type raw struct {
	Listen    []string          `mapstructure:"listen"`
	DataDir   string            `mapstructure:"data_dir"`
	ServerID  string            `mapstructure:"server_id"`
	Cookies   string            `mapstructure:"cookies"`
	Secrets   []string          `mapstructure:"cookie_secrets"`
	Keys      []rawKey          `mapstructure:"keys"`
	Zones     []rawZone         `mapstructure:"zones"`
	Limits    map[string]string `mapstructure:"limits"`
	RateLimit rawRateLimit      `mapstructure:"rate_limit"`
	Log       struct {
		Level  string `mapstructure:"level"`
		Format string `mapstructure:"format"`
		Sample string `mapstructure:"query_sample"`
	} `mapstructure:"log"`
	Tap     map[string]string `mapstructure:"dnstap"`
	Metrics struct {
		Listen string `mapstructure:"listen"`
		Zones  string `mapstructure:"zones"`
	} `mapstructure:"metrics"`
	Web rawWeb `mapstructure:"web"`
}

type rawKey struct {
	Name       string  `mapstructure:"name"`
	Algorithm  string  `mapstructure:"algorithm"`
	Secret     *string `mapstructure:"secret"`
	SecretFile *string `mapstructure:"secret_file"`
	Late       string  `mapstructure:"signed_late"`
}

type rawZone struct {
	Name    string            `mapstructure:"name"`
	File    string            `mapstructure:"file"`
	MaxTTL  *string           `mapstructure:"max_ttl"`
	Records *string           `mapstructure:"max_records"`
	ACL     []rawRule         `mapstructure:"acl"`
	Notify  []any             `mapstructure:"notify"`
	Lease   map[string]string `mapstructure:"lease"`
	Journal struct {
		MaxAge  string `mapstructure:"max_age"`
		MaxSize string `mapstructure:"max_size"`
	} `mapstructure:"journal"`
	DerivedKeys *rawSeed `mapstructure:"derived_keys"`
}

type rawSeed struct {
	Seed     *string `mapstructure:"seed"`
	SeedFile *string `mapstructure:"seed_file"`
}

type rawRule struct {
	Address   []string `mapstructure:"address"`
	Key       []string `mapstructure:"key"`
	Action    []string `mapstructure:"action"`
	Deny      bool     `mapstructure:"deny"`
	Owner     string   `mapstructure:"update_owner"`
	Match     string   `mapstructure:"update_owner_match"`
	OwnerName []string `mapstructure:"update_owner_name"`
	Type      []string `mapstructure:"update_type"`

	SelfNumber bool     `mapstructure:"self_number"`
	Numbers    []string `mapstructure:"numbers"`
	MaxRecords *string  `mapstructure:"max_records"`
	SourceAddr bool     `mapstructure:"source_address"`
	Claim      string   `mapstructure:"claim"`
}

// envPrefix begins the variables that override settings.
const envPrefix = "DIALTONE"

func envName(path string) string {
	return envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// overridable lists the settings that the environment can override: all that
// stand in no list of sections. Lists of texts, such as listen, have commas.
func overridable() (paths []string) {
	for name, s := range settings {
		switch s.kind {
		case section:
			for sub := range s.sub {
				paths = append(paths, name+"."+sub)
			}
		case sections:
		default:
			paths = append(paths, name)
		}
	}
	slices.Sort(paths)
	return paths
}

// values gives viper what is sound in the file, and the environment, and reads
// the values from it.
func (c *checker) values(root *yaml.Node) *raw {
	v := viper.New()
	c.env = make(map[string]string)
	known := make(map[string]bool)
	for _, path := range overridable() {
		name := envName(path)
		known[name] = true
		if os.Getenv(name) != "" {
			c.env[path] = name
		}
		if err := v.BindEnv(path, name); err != nil {
			c.fault(path, "the variable %s cannot be bound: %v", name, err)
			return nil
		}
	}
	known[envPrefix+"_ZONE"] = true // for the phone's commands
	c.strayVariables(known)
	file := make(map[string]any)
	var r raw
	var err error
	if root != nil {
		err = root.Decode(&file)
	}
	if err == nil {
		err = v.MergeConfigMap(file)
	}
	if err == nil {
		err = v.Unmarshal(&r, viper.DecodeHook(mapstructure.StringToSliceHookFunc(",")))
	}
	if err != nil {
		c.fault("", "the file cannot be read: %v", err)
		return nil
	}
	return &r
}

// strayVariables warns of variables that look like overrides and are none. It
// does not refuse them: others set such variables too, as Kubernetes does for
// a service of the name.
func (c *checker) strayVariables(known map[string]bool) {
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix+"_") || known[name] {
			continue
		}
		text := "no setting is overridden by this variable"
		if meant := nearest(name, lower(names)); meant != "" {
			text += ": did you mean " + strings.ToUpper(meant) + "?"
		}
		c.conf.Warnings = append(c.conf.Warnings, Fault{Setting: name, Text: text})
	}
}

func lower(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}
