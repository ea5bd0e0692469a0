hello from php
