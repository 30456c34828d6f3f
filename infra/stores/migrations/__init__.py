"""Which steps has the audit's database been through?"""
