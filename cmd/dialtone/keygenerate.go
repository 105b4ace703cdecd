package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"dialtone/phone"
)

func keyGenerateCommand() *cobra.Command {
	var zone, algorithm, dir string
	c := &cobra.Command{
		Use:   "generate NUMBER",
		Short: "Make a key pair for a number, for SIG(0)",
		Long: `Make a key pair for a number: the phone signs what it registers with the private half
(SIG(0), RFC 2931), the server has the public half as a KEY record at the number's name,
and no secret. The two files are those of BIND: nsupdate -k takes them, too.`,
		Example: `  dialtone key generate 5551234 --zone phones.example
  dialtone register 5551234 --zone phones.example --key-file K5551234.phones.example.+015+12345.private`,
		Args: exactly("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := numberArg(c, args[0])
			if err != nil {
				return err
			}
			return generateKey(c, n, zone, algorithm, dir)
		},
	}
	f := c.Flags()
	f.StringVarP(&zone, "zone", "z", envOr("DIALTONE_ZONE", "phones.example."), "zone of the numbers (or DIALTONE_ZONE)")
	f.StringVar(&algorithm, "algorithm", "ed25519", "ed25519 or ecdsa-p256")
	f.StringVar(&dir, "dir", ".", "directory for the files K*.private and K*.key")
	return c
}

func generateKey(c *cobra.Command, n phone.Number, zone, algorithm, dir string) error {
	k, err := phone.GenerateKey(n.Name(zone), algorithm)
	if err != nil {
		return withCode(err)
	}
	private, _, err := k.Save(dir)
	if err != nil {
		return usage(c, err.Error())
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), `Private half: %s (stays on the phone)
KEY record:   %s
Register:     %s register %s --zone %s --key-file %s
`, private, k.Record(), os.Args[0], n, zone, private)
	return err
}
