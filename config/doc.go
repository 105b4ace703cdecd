// Package config reads the configuration file and checks it.
//
// It owns: the names of the settings, their defaults where a file can leave
// them out, overrides from the environment, and every check that needs nothing
// but the configuration itself. All faults are found in one run, and each
// tells the file, the line, the setting and what to do about it.
//
// It must not know how anything is done: a Config is plain data, which cmd
// turns into the options of the packages that do the work. It opens no zone
// files and no sockets; it does read the files that secrets are kept in. It
// alone imports viper.
//
// The file is read twice: by viper for the values, together with the
// environment, and by package yaml for the lines at which they stand, which
// viper does not tell.
package config
